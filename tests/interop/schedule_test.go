package interop

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// history compares what both say an entry enqueued, newest first, once it
// enqueued so often since an instant: of the last two, the limit asked for.
func (w *world) history(entry string, often int, since time.Time) {
	w.t.Helper()
	w.until("the entry enqueued often enough", func() bool {
		events, err := w.inspector.ListSchedulerEnqueueEvents(entry)
		return err == nil && len(events) >= often
	})
	answer, _ := w.lunaqJSON("cron", "history", entry, "--limit",
		"2").(map[string]any)
	var ours []map[string]any
	events, _ := answer["events"].([]any)
	for _, event := range events {
		ours = append(ours, event.(map[string]any))
	}
	if want := min(often, 2); len(ours) != want {
		w.t.Fatalf("%s: lunaq tells of %d, wanted %d", entry, len(ours), want)
	}
	theirs, err := w.inspector.ListSchedulerEnqueueEvents(entry,
		asynq.PageSize(1000))
	w.ok(err)
	// More ticks may have come in between.
	for len(theirs) > 0 && ours[0]["task_id"] != theirs[0].TaskID {
		theirs = theirs[1:]
	}
	if len(theirs) < len(ours) {
		w.t.Fatalf("%s: lunaq %v, Asynq %v", entry, ours, theirs)
	}
	for i, row := range ours {
		event := theirs[i]
		if event.EnqueuedAt.Before(since.Add(-time.Second)) ||
			event.EnqueuedAt.After(time.Now().Add(time.Second)) {
			w.t.Errorf("%s: enqueued at %v", entry, event.EnqueuedAt)
		}
		at, _ := row["at"].(float64)
		if row["task_id"] != event.TaskID ||
			int64(at) != event.EnqueuedAt.UnixMilli() {
			w.t.Errorf("%s: event %d: lunaq %v, Asynq %+v", entry, i, row, event)
		}
	}
}

// Schedulers of Asynq's beside lunaqd: lunaq lists their entries as Asynq's
// inspector does, and runs what they enqueue.
func TestSchedulersOfAsynqBesideLunaqd(t *testing.T) {
	t.Parallel()
	w, began := newWorld(t), time.Now()
	w.startLunaqd("q=1")
	scheduler := asynq.NewScheduler(w.opt, &asynq.SchedulerOpts{
		LogLevel: asynq.FatalLevel, HeartbeatInterval: time.Second})
	_, err := scheduler.Register("@every 1s", asynq.NewTask("interop:ok",
		[]byte(`{"by":"scheduler"}`)), asynq.Queue("q"), asynq.MaxRetry(4))
	w.ok(err)
	_, err = scheduler.Register("CRON_TZ=Europe/Berlin 30 4 * * mon",
		asynq.NewTask("interop:ok", nil), asynq.Queue("q"))
	w.ok(err)
	w.ok(scheduler.Start())
	t.Cleanup(scheduler.Shutdown)
	manager, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
		PeriodicTaskConfigProvider: provider{}, RedisConnOpt: w.opt,
		SyncInterval: time.Second, SchedulerOpts: &asynq.SchedulerOpts{
			LogLevel: asynq.FatalLevel, HeartbeatInterval: time.Second}})
	w.ok(err)
	w.ok(manager.Start())
	t.Cleanup(manager.Shutdown)

	entries := map[string]*asynq.SchedulerEntry{}
	w.until("all entries show, and two fired", func() bool {
		all, err := w.inspector.SchedulerEntries()
		fired := 0
		for _, e := range all {
			entries[e.ID] = e
			if !e.Prev.IsZero() {
				fired++
			}
		}
		return err == nil && len(all) == 4 && fired == 2
	})
	rows := map[string]map[string]any{}
	for _, row := range w.rows("cron", "ls") {
		id, _ := row["id"].(string)
		rows[id] = row
	}
	for id, e := range entries {
		row, queue := rows[id], ""
		for _, o := range e.Opts {
			if o.Type() == asynq.QueueOpt {
				queue = o.Value().(string)
			}
		}
		if row == nil || row["spec"] != e.Spec || row["type"] != e.Task.Type() ||
			row["queue"] != queue || row["payload"] != string(e.Task.Payload()) {
			t.Errorf("entry %s: lunaq %v, Asynq %+v", id, row, e)
			continue
		}
		// Those that fire every second went on meanwhile.
		next, _ := row["next_at"].(float64)
		if d := int64(next) - e.Next.UnixMilli(); d < 0 || d > 10000 {
			t.Errorf("entry %s: next %v, %v", id, row, e.Next)
		}
		last, _ := row["last_at"].(float64)
		if e.Prev.IsZero() {
			if last != 0 {
				t.Errorf("entry %s never ran: %v", id, row)
			}
			continue
		}
		if d := int64(last) - e.Prev.UnixMilli(); d < 0 || d > 10000 {
			t.Errorf("entry %s: last %v, %v", id, row, e.Prev)
		}
		w.history(id, 3, began)
	}
	w.until("lunaqd runs what they enqueue", func() bool {
		info, err := w.inspector.GetQueueInfo("q")
		return err == nil && info.ProcessedTotal >= 4 && info.FailedTotal == 0
	})
}

// A provider of Asynq's periodic task manager.
type provider struct{}

func (provider) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) {
	return []*asynq.PeriodicTaskConfig{{Cronspec: "@every 2s",
		Task: asynq.NewTask("interop:ok", []byte(`{"by":"manager"}`)),
		Opts: []asynq.Option{asynq.Queue("q")}}}, nil
}

// The history of lunaqd's own entries is what both say.
func TestHistoryOfEntriesIsTold(t *testing.T) {
	t.Parallel()
	f := newFullWorld(t)
	f.history(f.entry, 1, f.began)
}
