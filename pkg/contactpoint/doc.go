// Package contactpoint gives phone numbers and e-mail addresses one spelling, so that the same one is found again however it was typed.
// It is pure, and what it answers is part of the meaning of rules: the same text gives the same answer in every replay, which a golden
// corpus in testdata holds against upgrades of the libraries.
//
// How it fails: what cannot be read for certain as one number or one address is none. A message to a stranger, or two people merged
// because a text was guessed at, is worse than a contact point that is not known.
package contactpoint
