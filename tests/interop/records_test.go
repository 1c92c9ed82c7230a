package interop

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// Records of servers and of what they run, as Asynq's own.
func TestRecordsAreAsAsynqs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	stop := w.spawnLunaqd("ours=3", "WORKER_CONCURRENCY=4",
		"LUNAQ_SHUTDOWN_TIMEOUT=100ms")
	w.startAsynq("theirs", likeLua)
	deadline := time.Now().Add(10 * time.Minute).Truncate(time.Second)
	for _, queue := range []string{"ours", "theirs"} {
		w.enqueue(asynq.NewTask("interop:wait", []byte("{}")),
			asynq.Queue(queue), asynq.Timeout(40*time.Second))
		w.enqueue(asynq.NewTask("interop:wait", []byte("{}")),
			asynq.Queue(queue), asynq.Deadline(deadline))
	}
	var servers []*asynq.ServerInfo
	w.until("both servers show two workers", func() bool {
		var err error
		servers, err = w.inspector.Servers()
		return err == nil && len(servers) == 2 &&
			len(servers[0].ActiveWorkers) == 2 &&
			len(servers[1].ActiveWorkers) == 2
	})
	for _, s := range servers {
		if s.Concurrency != 4 || s.Status != "active" || s.StrictPriority ||
			s.PID == 0 || s.Host == "" || s.ID == "" ||
			time.Since(s.Started) > time.Minute {
			t.Errorf("server %+v", s)
		}
		for _, worker := range s.ActiveWorkers {
			left := worker.Deadline.Sub(worker.Started)
			byTimeout := left > 38*time.Second && left < 42*time.Second
			if !byTimeout && !worker.Deadline.Equal(deadline) ||
				worker.TaskType != "interop:wait" ||
				string(worker.TaskPayload) != "{}" ||
				s.Queues[worker.Queue] == 0 {
				t.Errorf("worker %+v", worker)
			}
		}
	}
	for _, kind := range []string{"servers", "workers"} {
		members, err := w.redis.ZRangeWithScores(ctx, "asynq:"+kind, 0,
			-1).Result()
		if err != nil || len(members) != 2 {
			t.Fatalf("asynq:%s holds %v, %v", kind, members, err)
		}
		for _, z := range members {
			ttl := w.redis.PTTL(ctx, z.Member.(string)).Val()
			in := z.Score - float64(time.Now().Unix())
			if ttl <= 0 || ttl > 10*time.Second || in < 3 || in > 11 ||
				z.Score != float64(int64(z.Score)) {
				t.Errorf("%v ends in %v s, its key in %v", z.Member, in, ttl)
			}
		}
	}
	for _, s := range servers {
		if s.Queues["ours"] != 0 {
			w.ok(syscall.Kill(s.PID, syscall.SIGTSTP))
		}
	}
	w.until("lunaqd says that it takes nothing more", func() bool {
		servers, err := w.inspector.Servers()
		for _, s := range servers {
			if s.Queues["ours"] != 0 {
				return err == nil && s.Status == "stopped"
			}
		}
		return false
	})
	stop(syscall.SIGTERM)
	if servers, err := w.inspector.Servers(); err != nil || len(servers) != 1 {
		t.Errorf("servers %v, %v after a clean end", servers, err)
	}
}

// lunaqd's periodic entries, one that never ran and one that does.
func TestEntriesAreAsAsynqs(t *testing.T) {
	w := newWorld(t)
	folder := filepath.Join(w.dir, "handlers")
	w.ok(os.Mkdir(folder, 0o755))
	for name, text := range map[string]string{
		"seldom": `return { cron = { spec = "@every 1h", payload = { n = 1 } },
			queue = "low", max_retry = 3, timeout = "90s", retention = "24h",
			unique = "1h", run = function() end }`,
		"often": `return { cron = "@every 1s", run = function() end }`,
		"zoned": `return { cron = { spec = "30 4 * * mon", tz = "Asia/Kolkata",
			name = 'the "first"', missed = "skip", dst = "robfig" },
			run = function() end }`,
	} {
		w.ok(os.WriteFile(filepath.Join(folder, name+".lua"), []byte(text), 0o644))
	}
	w.start("lunaqd", w.env("LUNAQ_QUEUES=default=1,low=1"),
		os.Getenv("LUNAQD"), "--handlers", folder)
	entries := map[string]*asynq.SchedulerEntry{}
	w.until("both entries show, and one ran", func() bool {
		all, err := w.inspector.SchedulerEntries()
		for _, e := range all {
			entries[e.Task.Type()] = e
		}
		return err == nil && len(all) == 3 && !entries["often"].Prev.IsZero()
	})
	e := entries["seldom"]
	if string(e.Task.Payload()) != `{"n":1}` {
		t.Errorf("payload %q", e.Task.Payload())
	}
	if !e.Prev.IsZero() {
		t.Errorf("it never ran, and shows %v", e.Prev)
	}
	if next := time.Until(e.Next); next < 59*time.Minute || next > time.Hour {
		t.Errorf("next in %v", next)
	}
	var opts []string
	for _, o := range e.Opts {
		opts = append(opts, o.String())
	}
	if got := strings.Join(opts, " "); got != `Queue("low") MaxRetry(3) `+
		`Timeout(1m30s) Unique(1h0m0s) Retention(24h0m0s)` {
		t.Errorf("options %s", got)
	}
	// What lunaq adds to the options is passed over, and the spec is one of
	// Asynq's: it leads to the same instant.
	e = entries["zoned"]
	schedule, err := cronParser.Parse(e.Spec)
	if err != nil || e.Spec != "CRON_TZ=Asia/Kolkata 30 4 * * mon" {
		t.Fatalf("spec %q, %v", e.Spec, err)
	}
	if want := schedule.Next(time.Now()); !e.Next.Equal(want) {
		t.Errorf("next at %v, robfig has %v", e.Next, want)
	}
	if len(e.Opts) != 3 { // queue, retries, timeout
		t.Errorf("options %v", e.Opts)
	}
	e = entries["often"]
	if time.Since(e.Prev) > 15*time.Second || e.Next.Sub(e.Prev) != time.Second {
		t.Errorf("it ran at %v, runs again at %v", e.Prev, e.Next)
	}
	events, err := w.inspector.ListSchedulerEnqueueEvents(e.ID)
	if err != nil || len(events) == 0 ||
		time.Since(events[0].EnqueuedAt) > 15*time.Second ||
		events[0].TaskID == "" {
		t.Errorf("events %v, %v", events, err)
	}

	// Entries that a reload takes away do not wait for their end.
	for _, name := range []string{"seldom", "often", "zoned"} {
		w.ok(os.WriteFile(filepath.Join(folder, name+".lua"),
			[]byte("return function() end"), 0o644))
	}
	gone := time.Now()
	w.until("no entry shows", func() bool {
		all, err := w.inspector.SchedulerEntries()
		return err == nil && len(all) == 0
	})
	if took := time.Since(gone); took > 5*time.Second {
		t.Errorf("they showed for %v more", took)
	}
}
