// Package jsonscan reads strict JSON in one pass into a flat list of tokens, for the paths that every event takes.
//
// # What is authoritative
//
// Nothing here is. [Doc.Scan] either takes a text, which is then strict JSON within all bounds, or does not, which proves
// nothing: the caller then reads the text with package jsontext, which is slower and names what is wrong, and its verdict counts.
// So refusals have one wording, and a bug here can make a text slow but cannot refuse it.
// What is taken is what that reader takes: UTF-8, no lone surrogates, no doubled names, nothing after the text; and no NUL.
//
// # How it fails
//
//   - Texts that are no JSON, hold the character NUL, or nest deeper than told are not taken.
//   - Texts over 200,000 tokens, objects over 256 members and names written with a backslash are not taken, though they may
//     be good: tokens are memory, finding a doubled name is quadratic, and names of attributes and fields need no escapes.
package jsonscan
