package redis

import _ "embed"

var (
	//go:embed append.lua
	appendLua string
	//go:embed common.lua
	commonLua string
	//go:embed collection.lua
	collectionLua string
	//go:embed queue.lua
	queueLua string
	//go:embed drop.lua
	dropLua string
	//go:embed read.lua
	readLua string
	//go:embed get.lua
	getLua string
	//go:embed scan.lua
	scanLua string
	//go:embed counters.lua
	countersLua string
	//go:embed beat.lua
	beatLua string
	//go:embed mark.lua
	markLua string
	//go:embed count.lua
	countLua string
	//go:embed partitions.lua
	partitionsLua string
)

// subject is what a writing script call is about; none for one that only reads.
type subject string

const (
	aboutLog        subject = "log"
	aboutQueue      subject = "queue"
	aboutCollection subject = "collection"
	aboutDrop       subject = "drop"
	aboutBeat       subject = "beat"
)

// All that is written goes through one script: so the calls of one Apply need one
// round trip whatever they are about, also where Redis has to be given the script
// first, keep their order, and leave the marks that marks.go is about.
var (
	writeScript = newScript(commonLua +
		chapter(aboutLog, appendLua) + chapter(aboutQueue, queueLua) +
		chapter(aboutCollection, collectionLua) + chapter(aboutDrop, dropLua) +
		chapter(aboutBeat, beatLua) + markLua)

	readScript     = newScript(readLua)
	getScript      = newScript(getLua)
	scanScript     = newScript(scanLua)
	countersScript = newScript(countersLua)
	countScript    = newScript(countLua)
	// membersScript counts the documents of the collection with these members.
	membersScript = newScript("return redis.call('ZLEXCOUNT', KEYS[1], '[a:', '(a;')")

	partitionsScript = newScript(partitionsLua)
)

func chapter(s subject, source string) string {
	return "if subject == '" + string(s) + "' then answer = (function()\n" + source + "\nend)() end\n"
}
