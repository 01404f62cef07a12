// Package graph finds what leads back to itself: rules and workflows that trigger each other in a circle.
package graph

// Components gives the strongly connected components of a graph (Tarjan, 1972), without recursion: a chain may be as long as
// a bundle. next lists where each node leads.
func Components(next [][]int) [][]int {
	n := len(next)
	order, low, on := make([]int, n), make([]int, n), make([]bool, n)
	var stack []int
	var out [][]int
	count := 0
	type frame struct{ v, edge int }
	for root := range n {
		if order[root] != 0 {
			continue
		}
		frames := []frame{{root, 0}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			if f.edge == 0 {
				count++
				order[f.v], low[f.v] = count, count
				stack, on[f.v] = append(stack, f.v), true
			}
			descended := false
			for f.edge < len(next[f.v]) {
				w := next[f.v][f.edge]
				f.edge++
				if order[w] == 0 {
					frames, descended = append(frames, frame{w, 0}), true
					break
				} else if on[w] {
					low[f.v] = min(low[f.v], order[w])
				}
			}
			if descended {
				continue
			}
			v := f.v
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				p := frames[len(frames)-1].v
				low[p] = min(low[p], low[v])
			}
			if low[v] == order[v] {
				var group []int
				for {
					w := stack[len(stack)-1]
					stack, on[w] = stack[:len(stack)-1], false
					group = append(group, w)
					if w == v {
						break
					}
				}
				out = append(out, group)
			}
		}
	}
	return out
}
