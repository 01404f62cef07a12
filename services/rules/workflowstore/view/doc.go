// Package view answers what people ask about instances of workflows: which there are, what one waits for, what is wrong, and what is paused. It
// reads the tables that workflowstore writes and changes nothing.
//
// Personal values are read only when they are asked for; otherwise their names are shown and their values are not. An instance that this build
// can't read is listed with the reason, because it must not hide the others.
//
// Lists are ordered by start, oldest first, and go on after the last instance of the page before.
package view
