package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// What spreadsheets leave in a cell that they could not show: an error in place of a value, or a long number cut down to a few digits.
var (
	cellErrors = []string{"#N/A", "#REF!", "#VALUE!", "#NAME?", "#NULL!", "#NUM!", "#DIV/0!", "#SPILL!", "#CALC!"}
	cutNumber  = regexp.MustCompile(`^[0-9]([.,][0-9]+)?E\+[0-9]+$`)
)

// wrapped is ="0044", by which an export keeps a spreadsheet from cutting zeros.
var wrapped = regexp.MustCompile(`^="[^"]*"$`)

// named reports whether a field identifies a person or a thing, so that one more character means another one. In names of people an
// apostrophe is a letter ('t Hooft).
func named(field string) bool {
	return field == "id" || field == "phone" || field == "email" || strings.HasSuffix(field, "_id")
}

// damaged says how a spreadsheet has damaged the value of a field, which is then refused, since the original is lost.
func damaged(field string, value any) error {
	s, ok := value.(string)
	switch {
	case !ok:
	case slices.Contains(cellErrors, s):
		return fmt.Errorf("%q is a spreadsheet's error and no value: mend the cell, or empty it", s)
	case wrapped.MatchString(s), named(field) && (strings.HasPrefix(s, "'") || strings.HasPrefix(s, "=")):
		return fmt.Errorf("%.40q has a mark by which a spreadsheet keeps a cell as text, and would be another value than without it: take it off before the export, or in the spec", s)
	case cutNumber.MatchString(s) && named(field):
		return fmt.Errorf("%q is a long number that a spreadsheet cut: its digits are lost; format the column as text, then export it again", s)
	}
	return nil
}
