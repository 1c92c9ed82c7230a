package interop

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// byHand is a way to steer tasks: lunaq's command line, and the method of
// Asynq's inspector that it stands for.
type byHand struct {
	name  string
	lunaq []string // before the id, or with all that it needs
	asynq func(in *asynq.Inspector, queue string) error
}

func byHands() []byHand {
	single := func(verb string, do func(*asynq.Inspector, string,
		string) error) byHand {
		return byHand{verb, []string{"task", verb, one},
			func(in *asynq.Inspector, queue string) error {
				return do(in, queue, one)
			}}
	}
	all := func(verb, state string, do func(*asynq.Inspector, string) (int,
		error)) byHand {
		return byHand{verb + "_all_" + state,
			[]string{"task", verb, "--all", "--state", state},
			func(in *asynq.Inspector, queue string) error {
				_, err := do(in, queue)
				return err
			}}
	}
	group := func(do func(*asynq.Inspector, string, string) (int,
		error)) func(*asynq.Inspector, string) (int, error) {
		return func(in *asynq.Inspector, queue string) (int, error) {
			return do(in, queue, "g")
		}
	}
	type in = asynq.Inspector
	return []byHand{
		single("run", (*in).RunTask), single("archive", (*in).ArchiveTask),
		single("delete", (*in).DeleteTask),
		all("run", "scheduled", (*in).RunAllScheduledTasks),
		all("run", "retry", (*in).RunAllRetryTasks),
		all("run", "archived", (*in).RunAllArchivedTasks),
		all("run", "aggregating", group((*in).RunAllAggregatingTasks)),
		all("archive", "pending", (*in).ArchiveAllPendingTasks),
		all("archive", "scheduled", (*in).ArchiveAllScheduledTasks),
		all("archive", "retry", (*in).ArchiveAllRetryTasks),
		all("archive", "aggregating", group((*in).ArchiveAllAggregatingTasks)),
		all("delete", "pending", (*in).DeleteAllPendingTasks),
		all("delete", "scheduled", (*in).DeleteAllScheduledTasks),
		all("delete", "retry", (*in).DeleteAllRetryTasks),
		all("delete", "archived", (*in).DeleteAllArchivedTasks),
		all("delete", "completed", (*in).DeleteAllCompletedTasks),
		all("delete", "aggregating", group((*in).DeleteAllAggregatingTasks)),
		{"update", []string{"task", "update", one, "--payload", `{"b":[2]}`},
			func(in *asynq.Inspector, queue string) error {
				return in.UpdateTaskPayload(queue, one, []byte(`{"b":[2]}`))
			}},
		{"remove", []string{"queue", "rm", "--force"},
			func(in *asynq.Inspector, queue string) error {
				return in.DeleteQueue(queue, true)
			}},
	}
}

// What lunaq's command line does by hand leaves what Asynq's inspector leaves.
func TestByHandLunaqDoesWhatAsynqDoes(t *testing.T) {
	t.Parallel()
	ours, theirs := newWorld(t), newWorld(t)
	ours.ours = true
	unique, keep := asynq.Unique(time.Hour), asynq.Retention(time.Hour)
	later := time.Now().Add(2 * time.Hour).Truncate(time.Second)
	type opts = []asynq.Option
	made := map[string]move{
		"pending": {task: "interop:ok", state: asynq.TaskStatePending},
		"scheduled": {task: "interop:ok", state: asynq.TaskStateScheduled,
			opts:  opts{unique, asynq.ProcessAt(later)},
			flags: []string{"--unique", "1h", "--process-at", at(later)}},
		"aggregating": {task: "interop:ok", state: asynq.TaskStateAggregating,
			opts: opts{asynq.Group("g")}, flags: []string{"--group", "g"}},
		"retry": {task: "interop:fail", state: asynq.TaskStateRetry,
			opts: opts{unique}, flags: []string{"--unique", "1h"}},
		"archived": {task: "interop:refuse", state: asynq.TaskStateArchived,
			opts: opts{unique}, flags: []string{"--unique", "1h"}},
		"completed": {task: "interop:ok", state: asynq.TaskStateCompleted,
			opts: opts{keep}, flags: []string{"--retention", "1h"}},
	}
	worked := map[string]bool{"retry": true, "archived": true, "completed": true}
	var names []string
	queues := map[string]int{}
	for _, hand := range byHands() {
		for state := range made {
			if worked[state] {
				names = append(names, hand.name+"-"+state+"=1")
				queues[hand.name+"-"+state] = 1
			}
		}
	}
	ours.startLunaqd(strings.Join(names, ","), "WORKER_CONCURRENCY=20")
	server := asynq.NewServer(theirs.opt, asynq.Config{Concurrency: 20,
		Queues: queues, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 200 * time.Millisecond,
		ShutdownTimeout:   time.Millisecond})
	if err := server.Start(asynq.HandlerFunc(likeLua)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)

	for _, hand := range byHands() {
		for state, m := range made {
			_, only, all := strings.Cut(hand.name, "_all_")
			if all && only != state || hand.name == state ||
				hand.name == "update" && state != "scheduled" ||
				hand.name == "archive" && state == "archived" ||
				hand.name == "run" && state == "pending" {
				continue
			}
			queue := hand.name + "-" + state
			t.Run(queue, func(t *testing.T) {
				var got []snapshot
				for _, w := range []*world{ours, theirs} {
					old := w.t
					w.t = t
					w.put(m, queue)
					w.rest(m, queue)
					if worked[state] {
						w.ok(w.inspector.PauseQueue(queue))
					}
					if w.ours {
						args := append([]string{}, hand.lunaq...)
						if args[0] == "queue" {
							args = append(args, queue)
						} else {
							args = append(args, "--queue", queue)
						}
						w.lunaq(args...)
					} else {
						w.ok(hand.asynq(w.inspector, queue))
					}
					s := w.snapshotOf(queue)
					if hand.name != "remove" {
						w.numbers(queue, s)
					}
					got = append(got, s)
					w.t = old
				}
				if hand.name == "remove" {
					// Asynq leaves much behind; lunaq nothing.
					got[1] = snapshot{"asynq:queues": cell{text: "false"}}
				}
				// Asynq forgets since when a task has been waiting.
				since := "asynq:{" + queue + "}:t:" + one + "[pending_since]"
				_, waits := got[0][since]
				if pending := hand.name == "run" || strings.HasPrefix(hand.name,
					"run_all"); waits != pending {
					t.Errorf("pending_since is there: %v", waits)
				}
				delete(got[0], since)
				delete(got[1], since)
				same(t, got[0], got[1])
			})
		}
	}
}
