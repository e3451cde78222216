package main

import (
	"context"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct{ bootstrap []string }

func newSarama(bootstrap []string) library { return saramaClient{bootstrap} }

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_5_0_0
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Transaction.Retry.Max = 600
	c.Metadata.Retry.Max = 20
	return c
}

func (s saramaClient) create(topic string, partitions int32) {
	admin, err := sarama.NewClusterAdmin(s.bootstrap, config())
	must(err)
	defer admin.Close()
	must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false))
}

type saramaProducer struct{ sarama.SyncProducer }

func (s saramaClient) producer(id string, timeout time.Duration) producer {
	c := config()
	c.Producer.Idempotent = true
	c.Producer.Transaction.ID = id
	c.Producer.Transaction.Timeout = timeout
	c.Net.MaxOpenRequests = 1
	var made sarama.SyncProducer
	eventually(func() (err error) {
		made, err = sarama.NewSyncProducer(s.bootstrap, c)
		return err
	})
	return saramaProducer{made}
}

func (p saramaProducer) begin() error { return p.BeginTxn() }

func (p saramaProducer) send(topic string, partition int32, value string) error {
	_, _, err := p.SendMessage(&sarama.ProducerMessage{
		Topic: topic, Partition: partition, Value: sarama.StringEncoder(value)})
	return err
}

func (p saramaProducer) commit() error { return p.CommitTxn() }
func (p saramaProducer) abort() error  { return p.AbortTxn() }
func (p saramaProducer) close()        { _ = p.Close() }

// Sarama does not say how far it has read where the last offsets are markers: whoever asks asks
// again until it has everything.
func (s saramaClient) committed(topic string, partition int32) []string {
	consumer, err := sarama.NewConsumer(s.bootstrap, config())
	must(err)
	defer consumer.Close()
	records, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
	must(err)
	defer records.Close()
	var values []string
	for {
		select {
		case message := <-records.Messages():
			values = append(values, string(message.Value))
		case <-time.After(time.Second):
			return values
		}
	}
}

type copier struct {
	producer saramaProducer
	group    string
	to       string
	left     int
	aborted  bool
	done     context.CancelFunc
}

func (c *copier) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (c *copier) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *copier) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	p := c.producer
	for message := range claim.Messages() {
		must(p.begin())
		must(p.send(c.to, 0, string(message.Value)))
		must(p.AddMessageToTxn(message, c.group, nil))
		if !c.aborted {
			c.aborted = true
			must(p.abort())
			session.ResetOffset(message.Topic, message.Partition, message.Offset, "")
			// The group begins anew, at what is committed: nothing.
			return nil
		}
		must(p.commit())
		session.MarkMessage(message, "")
		if c.left--; c.left == 0 {
			c.done()
			return nil
		}
	}
	return nil
}

func (s saramaClient) copy(group, id, from, to string, count int) int64 {
	ctx, done := context.WithTimeout(context.Background(), limit)
	defer done()
	p := s.producer(id, limit).(saramaProducer)
	handler := &copier{producer: p, group: group, to: to, left: count, done: done}
	members, err := sarama.NewConsumerGroup(s.bootstrap, group, config())
	must(err)
	for handler.left > 0 && ctx.Err() == nil {
		must(members.Consume(ctx, []string{from}, handler))
	}
	_ = members.Close()
	p.close()
	admin, err := sarama.NewClusterAdmin(s.bootstrap, config())
	must(err)
	defer admin.Close()
	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{from: {0}})
	must(err)
	return offsets.GetBlock(from, 0).Offset
}
