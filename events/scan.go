package events

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of an event: far beyond any real one, and far
// below where decoders of those who read it give up (Go's at 10,000).
const maxDepth = 1000

// syntaxError says what is wrong with a JSON text, and at which byte.
type syntaxError struct {
	offset int
	what   string
}

// scanner checks a JSON text, which must be valid UTF-8, without building
// anything from it. encoding/json would have to decode an event to tell where
// its members stand.
type scanner struct {
	data []byte
	pos  int
}

func (s *scanner) errorf(what string) *syntaxError {
	if s.pos >= len(s.data) {
		return &syntaxError{len(s.data), "unexpected end"}
	}
	return &syntaxError{s.pos, what}
}

// peek is the next byte; 0, which no JSON token contains, at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// value passes one value; depth counts the objects and arrays around it.
func (s *scanner) value(depth int) *syntaxError {
	switch c := s.peek(); {
	case c == '"':
		return s.str()
	case c == '{' || c == '[':
		if depth == maxDepth {
			return s.errorf("nested deeper than " + strconv.Itoa(maxDepth) + " levels")
		}
		if c == '{' {
			return s.object(depth+1, nil)
		}
		return s.array(depth + 1)
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.errorf("a value is expected")
}

// object passes an object and tells member, if there is one, of each key, still
// quoted, and its value.
func (s *scanner) object(depth int, member func(key, value []byte)) *syntaxError {
	s.pos++
	s.space()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		key := s.pos
		if s.peek() != '"' {
			return s.errorf("a key in double quotes is expected")
		}
		if err := s.str(); err != nil {
			return err
		}
		keyEnd := s.pos
		if s.space(); s.peek() != ':' {
			return s.errorf("a colon is expected")
		}
		s.pos++
		s.space()
		value := s.pos
		if err := s.value(depth); err != nil {
			return err
		}
		if member != nil {
			member(s.data[key:keyEnd], s.data[value:s.pos])
		}
		if done, err := s.next('}'); done || err != nil {
			return err
		}
	}
}

func (s *scanner) array(depth int) *syntaxError {
	s.pos++
	s.space()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth); err != nil {
			return err
		}
		if done, err := s.next(']'); done || err != nil {
			return err
		}
	}
}

// next passes what follows a member or element: a comma, or the closing byte.
func (s *scanner) next(closing byte) (done bool, err *syntaxError) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return false, nil
	case closing:
		s.pos++
		return true, nil
	}
	return false, s.errorf("a comma or " + string(closing) + " is expected")
}

func (s *scanner) str() *syntaxError {
	for s.pos++; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c < ' ':
			return s.errorf("a control character in a string must be escaped")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return s.errorf("")
}

// escape passes an escape sequence up to, not including, its last byte.
func (s *scanner) escape() *syntaxError {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.pos++
			if !isHex(s.peek()) {
				return s.errorf(`\u needs four hex digits`)
			}
		}
		return nil
	}
	return s.errorf("unknown escape in a string")
}

func (s *scanner) number() *syntaxError {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) digits() *syntaxError {
	if !isDigit(s.peek()) {
		return s.errorf("a digit is expected")
	}
	for isDigit(s.peek()) {
		s.pos++
	}
	return nil
}

func (s *scanner) literal(word string) *syntaxError {
	for i := range len(word) {
		if s.peek() != word[i] {
			return s.errorf(word + " is expected")
		}
		s.pos++
	}
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// kindOf names the kind of a JSON value by its first byte.
func kindOf(c byte) string {
	switch {
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a string"
	case c == 't' || c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	case c == '-' || isDigit(c):
		return "a number"
	}
	return "something else"
}

var shortEscapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unquote is the text of a string that the scanner has passed; not ok when half
// of a surrogate pair stands alone in it, which no text can hold.
func unquote(quoted []byte) (text string, ok bool) {
	in := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return string(in), true
	}
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); {
		switch {
		case in[i] != '\\':
			out = append(out, in[i])
			i++
		case in[i+1] != 'u':
			out = append(out, shortEscapes[in[i+1]])
			i += 2
		default:
			r := hex4(in[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				if len(in) < i+6 || in[i] != '\\' || in[i+1] != 'u' {
					return "", false
				}
				if r = utf16.DecodeRune(r, hex4(in[i+2:])); r == utf8.RuneError {
					return "", false
				}
				i += 6
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return string(out), true
}

func hex4(b []byte) rune {
	v, _ := strconv.ParseUint(string(b[:4]), 16, 16)
	return rune(v)
}
