package measure

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// Program lists the families about the program itself, under the names that Prometheus' own
// libraries give them, so that dashboards for Go programs fit.
func Program() []Family {
	families := []Family{
		{Name: "parvis_build_info", Kind: Gauge, Help: "Always 1; the labels say what was built from what.", Labels: []string{"version", "revision", "goversion"}, Read: build},
		{Name: "go_threads", Kind: Gauge, Help: "Threads of the operating system.", Read: One(func() float64 {
			n, _ := runtime.ThreadCreateProfile(nil)
			return float64(n)
		})},
	}
	for _, m := range []struct {
		name, of string
		kind     Kind
		help     string
	}{
		{"go_goroutines", "/sched/goroutines:goroutines", Gauge, "Goroutines that exist."},
		{"go_sched_gomaxprocs_threads", "/sched/gomaxprocs:threads", Gauge, "Threads that may run Go code at once."},
		{"go_memstats_heap_alloc_bytes", "/memory/classes/heap/objects:bytes", Gauge, "Memory of objects that are in use or not collected yet."},
		{"go_memstats_sys_bytes", "/memory/classes/total:bytes", Gauge, "Memory that the runtime has from the operating system."},
		{"go_memstats_alloc_bytes_total", "/gc/heap/allocs:bytes", Count, "Memory that was ever allocated."},
		{"go_gc_cycles_total", "/gc/cycles/total:gc-cycles", Count, "Collections of garbage."},
		{"go_gc_cpu_seconds_total", "/cpu/classes/gc/total:cpu-seconds", Count, "Estimated CPU time of collecting garbage."},
	} {
		families = append(families, Family{Name: m.name, Kind: m.kind, Help: m.help, Read: One(func() float64 { return ofRuntime(m.of) })})
	}
	return append(families, process()...)
}

func ofRuntime(name string) float64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	switch s[0].Value.Kind() {
	case metrics.KindUint64:
		return float64(s[0].Value.Uint64())
	case metrics.KindFloat64:
		return s[0].Value.Float64()
	default:
		return 0
	}
}

func build(add func(float64, ...string)) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	revision := "unknown"
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	add(1, info.Main.Version, revision, info.GoVersion)
}

// started is when the process started. What the kernel says of it counts from the machine's start, and
// when that was is hidden from the packages' service (ProcSubset).
var started = Start()

// Linux counts time in these ticks wherever Go runs.
const ticks = 100

// process lists what Linux tells about the process; elsewhere most of its families are empty.
func process() []Family {
	stat := func(field int, per float64, plus func() float64) func(func(float64, ...string)) {
		return func(add func(float64, ...string)) {
			if v, ok := ofProcess(field); ok {
				add(v*per + plus())
			}
		}
	}
	none := func() float64 { return 0 }
	page := float64(os.Getpagesize())
	return []Family{
		{Name: "process_cpu_seconds_total", Kind: Count, Help: "CPU time, of the program and of the kernel for it.", Read: stat(14, 1.0/ticks, func() float64 {
			system, _ := ofProcess(15)
			return system / ticks
		})},
		{Name: "process_start_time_seconds", Kind: Gauge, Help: "When the process started, in Unix time.", Read: One(func() float64 {
			return float64(started.began.UnixMilli()) / 1000
		})},
		{Name: "process_virtual_memory_bytes", Kind: Gauge, Help: "Address space.", Read: stat(23, 1, none)},
		{Name: "process_resident_memory_bytes", Kind: Gauge, Help: "Memory in use, the mapped pages of the program's file included.", Read: stat(24, page, none)},
		{Name: "process_open_fds", Kind: Gauge, Help: "Open files and connections.", Read: func(add func(float64, ...string)) {
			if open, err := os.ReadDir("/proc/self/fd"); err == nil {
				add(float64(len(open) - 1)) // without the folder itself
			}
		}},
		{Name: "process_max_fds", Kind: Gauge, Help: "Files and connections that may be open.", Read: func(add func(float64, ...string)) {
			text, _ := os.ReadFile("/proc/self/limits")
			for line := range strings.Lines(string(text)) {
				if of := strings.Fields(line); strings.HasPrefix(line, "Max open files") && len(of) > 3 {
					if v, err := strconv.ParseFloat(of[3], 64); err == nil {
						add(v)
					}
				}
			}
		}},
	}
}

// ofProcess returns a field of /proc/self/stat, counted as proc(5) does.
func ofProcess(field int) (float64, bool) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, false
	}
	// The second field is the program's name in parentheses, which may contain anything.
	of := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if field-3 >= len(of) {
		return 0, false
	}
	v, err := strconv.ParseFloat(of[field-3], 64)
	return v, err == nil
}
