package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// batch is the payload of an aggregated task: the numbers it was made of.
type batch struct {
	Ns []int `json:"ns"`
}

// aggregate does in Go what handlers/letter.lua of these tests does.
func aggregate(_ string, tasks []*asynq.Task) *asynq.Task {
	var all batch
	for _, task := range tasks {
		var one struct{ N int }
		json.Unmarshal(task.Payload(), &one)
		all.Ns = append(all.Ns, one.N)
	}
	text, _ := json.Marshal(all)
	return asynq.NewTask("batch", text, asynq.Retention(time.Hour))
}

// batches reads what became of tasks 0 to total-1: each must be in one batch.
func (w *world) batches(queue string, total int) [][]int {
	w.t.Helper()
	var all [][]int
	w.until(fmt.Sprintf("%s: all %d are in batches", queue, total), func() bool {
		infos, err := w.inspector.ListCompletedTasks(queue, asynq.PageSize(1000))
		if err != nil {
			return false
		}
		all = nil
		n := 0
		for _, info := range infos {
			var one batch
			if json.Unmarshal(info.Payload, &one) == nil && info.Type == "batch" {
				all = append(all, one.Ns)
				n += len(one.Ns)
			}
		}
		return n >= total
	})
	seen := map[int]int{}
	for _, ns := range all {
		for _, n := range ns {
			seen[n]++
		}
	}
	for n := 0; n < total; n++ {
		if seen[n] != 1 {
			w.t.Errorf("%s: task %d is in %d batches: %v", queue, n, seen[n], all)
		}
	}
	w.until(queue+": no group is left", func() bool {
		info, err := w.inspector.GetQueueInfo(queue)
		return err == nil && info.Groups == 0 && info.Aggregating == 0 &&
			info.Active == 0
	})
	return all
}

func (w *world) serveGroupsInGo(queue string) {
	w.t.Helper()
	server := asynq.NewServer(w.opt, asynq.Config{Concurrency: 4,
		Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 200 * time.Millisecond,
		GroupAggregator:   asynq.GroupAggregatorFunc(aggregate),
		GroupGracePeriod:  time.Second, GroupMaxSize: 7})
	if err := server.Start(asynq.HandlerFunc(func(context.Context,
		*asynq.Task) error {
		return nil
	})); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(server.Shutdown)
}

func (w *world) serveGroupsInLua(queue string) {
	w.t.Helper()
	w.startHandlers(map[string]string{
		"batch.lua": `return function() end`,
		"letter.lua": `return {
			group = { grace = "1s", max_size = 7,
				aggregate = function(group, tasks)
					local ns = {}
					for i, t in ipairs(tasks) do ns[i] = t.payload.n end
					return "batch", { ns = ns }, { retention = "1h" }
				end },
			run = function(task) -- one that is left alone
				queue.enqueue("batch", { ns = { task.payload.n } },
					{ queue = task.queue, retention = "1h" })
			end }`,
	}, "LUNAQ_QUEUES="+queue+"=1")
}

func (w *world) letters(queue string, total int, byLunaq func(int) bool) {
	w.t.Helper()
	for n := 0; n < total; n++ {
		group := fmt.Sprintf("g%d", n%3)
		if byLunaq(n) {
			w.lunaq("enqueue", "letter", fmt.Sprintf("n:=%d", n), "--queue", queue,
				"--group", group)
		} else {
			w.enqueue(asynq.NewTask("letter", []byte(fmt.Sprintf(`{"n":%d}`, n))),
				asynq.Queue(queue), asynq.Group(group))
		}
	}
}

// Groups are seen by both, and aggregated by either, whoever enqueued.
func TestGroupsGoBothWays(t *testing.T) {
	t.Parallel()
	t.Run("both_list_them", func(t *testing.T) {
		w := newWorld(t)
		w.letters("q", 10, func(n int) bool { return n%2 == 0 })
		w.letters("other", 2, func(int) bool { return true })
		theirs, err := w.inspector.Groups("q")
		w.ok(err)
		sizes := map[any]any{}
		for _, row := range w.rows("group", "ls", "--queue", "q") {
			sizes[row["group"]] = row["tasks"]
			if row["queue"] != "q" {
				t.Errorf("a group of another queue: %v", row)
			}
		}
		for _, g := range theirs {
			if sizes[g.Group] != float64(g.Size) {
				t.Errorf("%s: lunaq %v, Asynq %d", g.Group, sizes, g.Size)
			}
		}
		if len(theirs) != 3 || len(sizes) != 3 {
			t.Errorf("lunaq %v, Asynq %v", sizes, theirs)
		}
	})
	t.Run("lunaqs_in_Go", func(t *testing.T) {
		w := newWorld(t)
		w.letters("q", 20, func(int) bool { return true })
		w.serveGroupsInGo("q")
		w.batches("q", 20)
	})
	t.Run("oldest_is_of_another_type", func(t *testing.T) {
		w := newWorld(t)
		w.enqueue(asynq.NewTask("batch", []byte(`{"ns":[0]}`)),
			asynq.Queue("q"), asynq.Group("g1"), asynq.TaskID("0"),
			asynq.Retention(time.Hour))
		for n := 1; n < 4; n++ {
			w.enqueue(asynq.NewTask("letter", []byte(fmt.Sprintf(`{"n":%d}`, n))),
				asynq.Queue("q"), asynq.Group("g1"),
				asynq.TaskID(fmt.Sprint(n)))
		}
		w.serveGroupsInLua("q")
		w.batches("q", 4)
	})
	t.Run("both_at_once", func(t *testing.T) {
		w := newWorld(t)
		w.serveGroupsInLua("q")
		w.serveGroupsInGo("q")
		w.letters("q", 200, func(n int) bool { return n%4 == 0 })
		for _, ns := range w.batches("q", 200) {
			if len(ns) > 7 {
				t.Errorf("a batch has %d tasks", len(ns))
			}
		}
		w.lunaq("fsck")
	})
}
