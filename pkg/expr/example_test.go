package expr_test

import (
	"fmt"

	"github.com/neuronx/engine/pkg/expr"
)

// An expression is a pure function of its variables.
func ExampleProgram_Eval() {
	p, err := expr.Compile(`data.channel == "referral" ? 50 : 15`, "data")
	if err != nil {
		fmt.Println(err)
		return
	}
	score, err := p.Eval(map[string]any{"data": map[string]any{"channel": "referral"}})
	fmt.Println(score, err)
	// Output: 50 <nil>
}
