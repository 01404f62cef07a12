// Package jsonscan reads strict JSON in one pass into a flat list of tokens, for the paths where every event goes through.
//
// # What is authoritative
//
// Nothing here is: [Doc.Scan] only says "taken", and then the text is strict JSON within all bounds, or "not taken", which
// says nothing. Whoever gets the second asks the reader that is slower and names what is wrong (package jsontext), and does
// what that says. So there is one place that words refusals, and a fault here can make a text slow, but not refused.
// What is taken is what that reader takes: UTF-8, no lone surrogates, no doubled names, nothing after the text; and no NUL.
//
// # How it fails
//
//   - Texts that are no JSON, hold the character NUL, or nest deeper than told are not taken.
//   - Texts over 200,000 tokens, objects over 256 members and names written with a backslash are not taken, though they may
//     be good: tokens are memory, finding a doubled name is quadratic, and names of attributes and fields need no escapes.
package jsonscan
