// `npm run bench:peers`: what `npm run bench` does, with Apache RocketMQ beside it where Java and Maven are present.

import { publish, readBenchOptions, runBench } from './program.ts'
import { rocketmq, rocketmqJars } from './rocketmq.ts'
import { ceiling, skylark, type Target } from './targets.ts'

const options = readBenchOptions(
  'bench:peers',
  'Measures Skylark and what else is present in turn, by the same load, and shows the medians.',
  // A JVM compiles what it runs often, and has to be given the time for it.
  { rounds: 3, warmUpMs: 10_000 },
  process.argv.slice(2)
)
const targets: Target[] = [ceiling, skylark(options.folder, options.flush)]
const jars = await rocketmqJars()
if (jars === null) process.stderr.write('Apache RocketMQ is left out: it needs Java and Maven\n')
else targets.push(rocketmq(jars, options.folder, options.flush))
publish(await runBench(targets, options), options)
