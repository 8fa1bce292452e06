package audit

// State is how a log does, for metrics.
type State struct {
	Full       bool  // the last write failed: no decision is made that would have to be recorded
	Places     int64 // decisions under way
	TurnedAway int64 // decisions that were not made since the start, because there was no place for their record
	Syncs      int64 // since the start
	Dropped    int64 // records of unauthenticated calls since the start that were left out, because there were too many
}

// State returns how the log does now.
func (l *Log) State() State {
	return State{l.full.Load(), l.places.Load(), l.turnedAway.Load(), l.syncs.Load(), l.strange.lost.Load()}
}
