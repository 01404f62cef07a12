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

// damaged says what a spreadsheet made of the value of a field, so that it is refused and not taken for what it was.
func damaged(field string, value any) error {
	s, ok := value.(string)
	switch {
	case !ok:
	case slices.Contains(cellErrors, s):
		return fmt.Errorf("%q is a spreadsheet's error and no value: mend the cell, or empty it", s)
	case cutNumber.MatchString(s) && (field == "id" || field == "phone" || strings.HasSuffix(field, "_id")):
		return fmt.Errorf("%q is a long number that a spreadsheet cut: its digits are lost; format the column as text, then export it again", s)
	}
	return nil
}
