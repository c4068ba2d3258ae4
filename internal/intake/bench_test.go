//go:build unix

package intake_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"parvis/internal/idptest"
	"parvis/internal/intake"
	"parvis/internal/intake/dump"
)

// BenchmarkImport moves people in, of whom no two neighbours in the file are neighbours by name, as in
// the files of others. Run it with -benchtime 10000x: what a person costs grows with how many there are.
func BenchmarkImport(b *testing.B) {
	s := idptest.Start(b)
	s.Organization(b, "Alpha", "alpha")
	var file strings.Builder
	fmt.Fprintln(&file, "email,email_verified,name,groups,password_hash")
	for i := range b.N {
		n := i * 7919 % 1_000_003
		fmt.Fprintf(&file, "person%d@bench.example,true,Person %d,Group %d,%s\n", n, n, i/1000, hashed)
	}
	src, err := intake.Open(dump.CSV, strings.NewReader(file.String()))
	if err != nil {
		b.Fatal(err)
	}
	before, cpu := written(b), cpuTime(b)
	b.ResetTimer()
	if _, err := serviceOf(s).Run(b.Context(), src, intake.Options{Organization: "alpha", Language: "en"}, func(intake.Fate) error { return nil }); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "µs-cpu/op")
	b.ReportMetric(float64(written(b)-before)/float64(b.N)/1000, "kB-written/op")
	if n := count(b, s, `select count(*) from users`); n < b.N {
		b.Fatalf("%d of %d came", n, b.N)
	}
}

// written is how many bytes this process gave to the system, where Linux tells.
func written(b *testing.B) (n int64) {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "wchar: ")
	_, _ = fmt.Sscan(after, &n)
	return n
}

// cpuTime returns the processor time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
