// `npm run bench`: Skylark under the canonical workload, beside what this machine could do at most.

import { publish, readBenchOptions, runBench } from './program.ts'
import { ceiling, skylark } from './targets.ts'

const options = readBenchOptions(
  'bench',
  'Measures a fresh broker under the canonical workload, beside a bare server that only parses, checksums and copies.',
  { rounds: 1, warmUpMs: 3000 },
  process.argv.slice(2)
)
publish(await runBench([ceiling, skylark(options.folder, options.flush)], options), options)
