package journalfile

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/storage"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

func open(t testing.TB, o Options) (*File, Contents) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	f, contents, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFile(t, f) })
	return f, contents
}

func closeFile(t testing.TB, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// reopen closes the file and opens its directory again.
func reopen(t testing.TB, f *File) (*File, Contents) {
	t.Helper()
	closeFile(t, f)
	return open(t, Options{Dir: f.opener.Dir})
}

func dirOf(f *File) string { return f.opener.Dir }

// entry is a record that tells its number.
func entry(seq uint64) Record {
	return Record{
		Seq: seq, Kind: Entry, At: time.UnixMicro(int64(seq)).UTC(),
		Op: &storage.Append{Log: "log", ID: fmt.Sprint(seq), Data: []byte(fmt.Sprint("data of ", seq))},
	}
}

func entries(from, to uint64) (records []Record) {
	for seq := from; seq <= to; seq++ {
		records = append(records, entry(seq))
	}
	return records
}

func commit(t testing.TB, f *File, b Batch) {
	t.Helper()
	if err := f.Commit(b); err != nil {
		t.Fatal(err)
	}
}

func replay(t testing.TB, f *File) (records []Record) {
	t.Helper()
	if err := f.Replay(func(r Record) error { records = append(records, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return records
}

// wantRecords fails unless the file has these records and no others.
func wantRecords(t testing.TB, f *File, want []Record) {
	t.Helper()
	got := replay(t, f)
	if len(got) != len(want) {
		t.Fatalf("there are %d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("record %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func glob(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func errorsIn(logged *observer.ObservedLogs) int {
	return logged.FilterLevelExact(zapcore.ErrorLevel).Len()
}
