// Package expr compiles and runs the CEL expressions of rules, projections and import mappings.
//
// An expression is a pure function of its variables. There is no clock, no random source, no network and no file in the
// language as it is set up here, and maps are iterated in the order of their keys, so that the same source over the same
// values gives the same result on every machine and on every run. That is what lets a replay derive the same events again.
//
// Expressions of Edition3 also read lookups and calendars by name, from the Reference that is bound to an evaluation: a program does not
// depend on them, and the same program over the same Reference gives the same result.
//
// # Bounds
//
//   - a source has at most MaxSource bytes, parses at most 64 levels deep and has at most 10,000 nodes after macros;
//   - comprehensions nest at most three deep, regular expressions are RE2 with a bounded program;
//   - an evaluation costs at most CostLimit units. Every call is charged by the length of what it reads and writes, so that a unit
//     stands for a bounded time (charge.go); texts are searched in linear time or for the product of text and pattern (search.go);
//   - a list or map that an evaluation builds has at most 200,000 values, what it holds by reference counted each time (weigh.go);
//   - a caller that evaluates other people's data hides fields over MaxText or MaxValues from the expressions (Visible);
//   - what Edition3 does in time by a product of lengths (sets, distinct, sort) reckons its price first (lists.go), and calendars are walked
//     for 400 days at most;
//   - an evaluation is interrupted when its context ends, checked every 100 iterations of a comprehension;
//   - a result has at most MaxResultNodes values and MaxResultBytes bytes of text.
//
// # How it fails
//
// Compile answers *CompileError with every problem at its line and column. Eval answers *EvalError, whose code and text are a
// function of the source and the values alone: they can be recorded in an event and derived again. Text that does not stand in
// the source is left out, because it may be a person's data. The exception is CodeDeadline: it depends on the machine, so
// callers must never record it as an outcome: the rules service sets the tenant aside, others try again.
//
// More than fifteen files: the editions of the language, its functions and its cost model share the compiled program, and an expression must cost and mean the
// same in each.
package expr
