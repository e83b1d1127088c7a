// `npm run bench:replication`: a sync master and its slave, with Apache RocketMQ's beside them where Java and Maven are.
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { rocketmqPair, skylarkPair } from './pairs.ts'
import { measureReplication, replicationDefaults, replicationText } from './replication-program.ts'
import { rocketmqJars } from './rocketmq.ts'

const text = (preset: string) => ({ type: 'string', default: preset }) as const
const { values } = parseArgs({
  options: {
    'in-flight': text(replicationDefaults.inFlight.join(',')),
    'warm-up': text(String(replicationDefaults.warmUpMs / 1000)),
    seconds: text(String(replicationDefaults.measureMs / 1000)),
    rounds: text(String(replicationDefaults.rounds)),
    gib: text(String(replicationDefaults.catchUpBytes / 2 ** 30)),
    folder: text(tmpdir()),
    alone: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false }
  }
})
const jars = values.alone ? null : await rocketmqJars()
if (jars === null) process.stderr.write('Apache RocketMQ is left out: it needs Java and Maven\n')
const report = await measureReplication(jars === null ? [skylarkPair] : [skylarkPair, rocketmqPair(jars)], {
  ...replicationDefaults,
  inFlight: values['in-flight'].split(',').filter(Boolean).map(Number),
  warmUpMs: Number(values['warm-up']) * 1000,
  measureMs: Number(values.seconds) * 1000,
  rounds: Number(values.rounds),
  catchUpBytes: Number(values.gib) * 2 ** 30,
  folder: values.folder
})
process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : replicationText(report))
