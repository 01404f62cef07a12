package jsonscan

// Crowded reports whether reading text strictly would mean to remember more than most names at once: those of all objects that are
// open, because no name may be there twice. Text need not be JSON. It allocates at most 4 bytes a name.
func Crowded(text []byte, most int) bool {
	var levels []int32 // members of each open object
	open := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{':
			levels = append(levels, 0)
		case ':':
			if len(levels) > 0 {
				levels[len(levels)-1]++
			}
			open++
		case '}':
			if len(levels) > 0 {
				open -= int(levels[len(levels)-1])
				levels = levels[:len(levels)-1]
			}
		}
		if open > most || len(levels) > most {
			return true
		}
	}
	return false
}
