// Transactions as franz-go and sarama drive them: commit, abort, offsets in the transaction, zombies
// that are fenced, transactions that time out. Usage: transactions franz|sarama BOOTSTRAP. Prints
// `ok` last; any difference ends it before.
package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"
)

const limit = 60 * time.Second

// The longest that a transaction of `brief` may be open.
const brief = time.Second

// A producer with a transactional id.
type producer interface {
	begin() error
	// Waits until the record is acknowledged.
	send(topic string, partition int32, value string) error
	commit() error
	abort() error
	close()
}

// One client library.
type library interface {
	create(topic string, partitions int32)
	// Takes the transactional id over from whoever had it.
	producer(id string, timeout time.Duration) producer
	// Everything up to the last stable offset, in order.
	committed(topic string, partition int32) []string
	// Copies the partition with the group's offsets in transactions, of which the first is aborted;
	// gives the group's offset at the end.
	copy(group, id, from, to string, count int) int64
}

func main() {
	var lib library
	bootstrap := strings.Split(os.Args[2], ",")
	switch os.Args[1] {
	case "franz":
		lib = newFranz(bootstrap)
	case "sarama":
		lib = newSarama(bootstrap)
	default:
		fail("no client %s", os.Args[1])
	}
	ends(lib, os.Args[1]+"-ends")
	copies(lib, os.Args[1])
	fencing(lib, os.Args[1]+"-fence")
	timeout(lib, os.Args[1]+"-timeout")
	fmt.Println("ok")
}

func ends(lib library, topic string) {
	lib.create(topic, 2)
	p := lib.producer(topic, limit)
	for round := 0; round < 4; round++ {
		must(p.begin())
		for partition := int32(0); partition < 2; partition++ {
			must(p.send(topic, partition, fmt.Sprintf("%d/%d", round, partition)))
		}
		if round%2 == 0 {
			must(p.commit())
		} else {
			must(p.abort())
		}
	}
	p.close()
	for partition := int32(0); partition < 2; partition++ {
		expect(lib, topic, partition, fmt.Sprintf("0/%d", partition), fmt.Sprintf("2/%d", partition))
	}
}

func copies(lib library, prefix string) {
	from, to := prefix+"-in", prefix+"-out"
	lib.create(from, 1)
	lib.create(to, 1)
	p := lib.producer(from, limit)
	var all []string
	must(p.begin())
	for i := 0; i < 10; i++ {
		all = append(all, fmt.Sprintf("v%d", i))
		must(p.send(from, 0, all[i]))
	}
	must(p.commit())
	p.close()
	offset := lib.copy(prefix+"-group", prefix+"-copy", from, to, len(all))
	if offset != 10 && offset != 11 {
		fail("the group's offset is %d", offset)
	}
	expect(lib, to, 0, all...)
}

func fencing(lib library, topic string) {
	lib.create(topic, 1)
	old := lib.producer(topic, limit)
	must(old.begin())
	must(old.send(topic, 0, "old"))
	young := lib.producer(topic, limit)
	refused(old, topic)
	must(young.begin())
	must(young.send(topic, 0, "young"))
	must(young.commit())
	young.close()
	expect(lib, topic, 0, "young")
}

func timeout(lib library, topic string) {
	lib.create(topic, 1)
	slow := lib.producer(topic, brief)
	must(slow.begin())
	must(slow.send(topic, 0, "slow"))
	// The next one is seen only once the open transaction is out of the way.
	next := lib.producer(topic+"-next", limit)
	must(next.begin())
	must(next.send(topic, 0, "next"))
	must(next.commit())
	next.close()
	expect(lib, topic, 0, "next")
	refused(slow, topic)
}

// A producer whose transaction was taken from it notices.
func refused(p producer, topic string) {
	if err := p.send(topic, 0, "late"); err == nil {
		if err = p.commit(); err == nil {
			fail("%s: a fenced producer commits", topic)
		}
	}
	p.close()
}

func expect(lib library, topic string, partition int32, values ...string) {
	var got []string
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = lib.committed(topic, partition); reflect.DeepEqual(got, values) {
			return
		}
	}
	fail("%s-%d: %v where %v was expected", topic, partition, got, values)
}

// These clients do not wait while the transaction of whoever had the id before is being aborted.
func eventually(try func() error) {
	err := try()
	for end := time.Now().Add(limit); err != nil && time.Now().Before(end); err = try() {
		time.Sleep(50 * time.Millisecond)
	}
	must(err)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func fail(format string, args ...interface{}) {
	panic(fmt.Sprintf(format, args...))
}
