package cli

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/simulate"
)

// JUnit XML as Jenkins, GitHub and GitLab read it (the schema of the Jenkins xUnit plugin, junit-10.xsd): suites of test cases with seconds,
// and of each what failed or could not be run.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"` // the file
	Time    string        `xml:"time,attr"`
	Failure *junitOutcome `xml:"failure,omitempty"`
	Error   *junitOutcome `xml:"error,omitempty"`
}

type junitOutcome struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }

func (c *cli) junit(r simulate.Report) error {
	suite := junitSuite{Name: "rules"}
	var took time.Duration
	for _, t := range r.Tests {
		one := junitCase{Name: t.Test, Class: t.File, Time: seconds(t.Took)}
		if !t.Passed {
			var lines []string
			for i := range t.Mismatches {
				lines = append(lines, t.Mismatches[i].Lines()...)
			}
			one.Failure = &junitOutcome{Message: lines[0], Type: "mismatch", Text: strings.Join(lines, "\n")}
			suite.Failures++
		}
		took += t.Took
		suite.Cases = append(suite.Cases, one)
	}
	suite.Time = seconds(took)
	return c.xml(suite)
}

// junitProblems tells files that can't be read as cases that could not be run.
func (c *cli) junitProblems(problems rulefile.Problems) error {
	suite := junitSuite{Name: "rules", Time: seconds(0)}
	for _, p := range problems {
		if p.Warning {
			continue
		}
		suite.Cases = append(suite.Cases, junitCase{Name: p.Code, Class: p.File, Time: seconds(0), Error: &junitOutcome{Message: p.Message, Type: p.Code, Text: p.String()}})
		suite.Errors++
	}
	return c.xml(suite)
}

func (c *cli) xml(suite junitSuite) error {
	suite.Tests = len(suite.Cases)
	b, err := xml.MarshalIndent(junitSuites{Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Time: suite.Time, Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return operate.Fail("write the output", err)
	}
	printLines(c.out, xml.Header+string(b))
	return nil
}
