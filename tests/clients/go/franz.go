package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type franz struct{ bootstrap []string }

func newFranz(bootstrap []string) library { return franz{bootstrap} }

func (f franz) client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(f.bootstrap...))...)
	must(err)
	return client
}

func within() context.Context {
	// The program ends before the limit matters.
	ctx, _ := context.WithTimeout(context.Background(), limit) //nolint
	return ctx
}

func (f franz) create(topic string, partitions int32) {
	admin := kadm.NewClient(f.client())
	defer admin.Close()
	made, err := admin.CreateTopic(within(), partitions, 1, nil, topic)
	must(err)
	must(made.Err)
}

type franzProducer struct{ client *kgo.Client }

func (f franz) producer(id string, timeout time.Duration) producer {
	var client *kgo.Client
	eventually(func() error {
		client = f.client(kgo.TransactionalID(id), kgo.TransactionTimeout(timeout),
			kgo.RecordPartitioner(kgo.ManualPartitioner()))
		// The id is taken over with the first transaction; this asks for it at once.
		_, _, err := client.ProducerID(within())
		return err
	})
	return franzProducer{client}
}

func (p franzProducer) begin() error { return p.client.BeginTransaction() }

func (p franzProducer) send(topic string, partition int32, value string) error {
	record := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}
	return p.client.ProduceSync(within(), record).FirstErr()
}

func (p franzProducer) commit() error { return p.client.EndTransaction(within(), kgo.TryCommit) }
func (p franzProducer) abort() error  { return p.client.EndTransaction(within(), kgo.TryAbort) }
func (p franzProducer) close()        { p.client.Close() }

func (f franz) committed(topic string, partition int32) []string {
	admin := kadm.NewClient(f.client())
	defer admin.Close()
	ends, err := admin.ListCommittedOffsets(within(), topic)
	must(err)
	end, _ := ends.Lookup(topic, partition)
	from := map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}
	client := f.client(kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())
	defer client.Close()
	var values []string
	for next := int64(0); next < end.Offset; {
		fetches := client.PollFetches(within())
		must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				values = append(values, string(r.Value))
			}
		})
	}
	return values
}

func (f franz) copy(group, id, from, to string, count int) int64 {
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(f.bootstrap...),
		kgo.TransactionalID(id), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err)
	aborted := false
	for copied := 0; copied < count; {
		fetches := session.PollFetches(within())
		must(fetches.Err())
		if fetches.NumRecords() == 0 {
			continue
		}
		must(session.Begin())
		fetches.EachRecord(func(r *kgo.Record) {
			must(session.ProduceSync(within(), &kgo.Record{Topic: to, Value: r.Value}).FirstErr())
		})
		committed, err := session.End(within(), kgo.TransactionEndTry(aborted))
		must(err)
		if committed {
			copied += fetches.NumRecords()
		}
		aborted = true
	}
	session.Close()
	admin := kadm.NewClient(f.client())
	defer admin.Close()
	offsets, err := admin.FetchOffsets(within(), group)
	must(err)
	at, _ := offsets.Lookup(from, 0)
	return at.At
}
