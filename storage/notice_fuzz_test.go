package storage

import "testing"

// What is read as a notice is written back as it was.
func FuzzParseNotice(f *testing.F) {
	f.Add([]byte("0 e:s"))
	f.Add(Notice{Producer: 0xabc, Log: "e:a b"}.Encode())
	f.Add([]byte(" x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNotice(b)
		if err == nil && string(n.Encode()) != string(b) {
			t.Fatalf("%q is written back as %q", b, n.Encode())
		}
	})
}
