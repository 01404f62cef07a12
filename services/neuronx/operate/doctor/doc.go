// Package doctor checks every part of an engine and says how to repair it: whether Kafka, Postgres, registry and processes are
// there, take writes and have room; whether consumers move; every setting under which data is lost; and whether the tables say
// what the tenants' streams say. Each check returns findings, with what to do next. Nothing is changed: what is written to see
// whether it can be is rolled back.
//
// It asks as the user and role that are configured. What these may not see is Skipped, with the right that it takes, and so is
// what needs a part that is away: a check that was not made is never OK. Where the budget of a check ends before all was looked
// at, the finding says how far it came. Judgements are pure functions, apart from the questions.
package doctor
