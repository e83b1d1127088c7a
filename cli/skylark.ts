#!/usr/bin/env node
// Skylark for a person at a terminal: start, produce, consume, bench; and its servers.
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { sentence } from './process.ts'
import { CommandError, wholeNumber } from './skylark/terminal.ts'

const USAGE_ERROR = 2
const MAX_PORT = 65_535
const DEFAULT_NAMESRV = process.env.NAMESRV_ADDR || '127.0.0.1:9876'
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

const namesrv = () =>
  new Option('-n, --namesrv <addresses>', 'NameServers, as host:port;host:port').default(
    DEFAULT_NAMESRV,
    `$NAMESRV_ADDR or ${DEFAULT_NAMESRV}`
  )

const program = new Command('skylark')
  .description("A message broker that speaks RocketMQ's protocol.")
  .version(version)
  .showHelpAfterError('(skylark help COMMAND tells more)')
  .exitOverride()

program
  .command('start')
  .description('run a NameServer and a broker here, in one process')
  .option('--data-dir <folder>', 'where messages are kept', './data')
  .option('--host <address>', 'the address to listen on; 0.0.0.0 opens it to the network', '127.0.0.1')
  .option('--port <port>', "the broker's port", wholeNumber('--port', 0, MAX_PORT), 10911)
  .option('--namesrv-port <port>', "the NameServer's port", wholeNumber('--namesrv-port', 0, MAX_PORT), 9876)
  .addOption(
    new Option('--log-level <level>', 'how much is told').choices(['debug', 'info', 'warn', 'error']).default('warn')
  )
  .action(async options => (await import('./skylark/start.ts')).start(options))

program
  .command('produce')
  .description('send messages: texts, or lines of the standard input, or bodies of a size')
  .argument('<topic>')
  .argument('[text...]', 'each is one message')
  .addOption(namesrv())
  .option('-c, --count <n>', 'send everything so many times', wholeNumber('--count', 1))
  .option('-s, --size <bytes>', 'send bodies of this size', wholeNumber('--size', 1))
  .option('-k, --key <key>', 'the key under which the messages are found')
  .option('-t, --tag <tag>', 'the tag by which consumers choose')
  .option('-r, --rate <n>', 'messages a second at most', wholeNumber('--rate', 1))
  .option('-g, --group <group>', 'the producer group', 'skylark-produce')
  .action(async (topic, texts, options) => (await import('./skylark/produce.ts')).produce(topic, texts, options))

program
  .command('consume')
  .description('print messages of a topic, and wait for more')
  .argument('<topic>')
  .addOption(namesrv())
  .option('-g, --group <group>', 'read as this consumer group, which goes on where it stopped')
  .option('-f, --from <where>', 'first, last, a date, or ms since 1970; of a group its very first start', 'first')
  .option('-t, --tag <expression>', 'only these tags: TagA || TagB', '*')
  .option('-c, --count <n>', 'end after so many messages', wholeNumber('--count', 1))
  .option('--json', 'a JSON object a line', false)
  .action(async (topic, options) => (await import('./skylark/consume.ts')).consume(topic, options))

program
  .command('bench')
  .description('measure sends and reads')
  .option('-n, --namesrv <addresses>', 'measure these servers; without it a broker of its own is started for it')
  .option('-c, --count <n>', 'messages', wholeNumber('--count', 1), 200_000)
  .option('-s, --size <bytes>', 'bytes of a body', wholeNumber('--size', 1), 1024)
  .option('-i, --in-flight <n>', 'sends under way at once', wholeNumber('--in-flight', 1), 256)
  .option('--json', 'print the result as JSON', false)
  .action(async options => (await import('./skylark/bench.ts')).bench(options))

/** One, or several under a supervisor. */
async function broker(): Promise<void> {
  const args = process.argv.slice(2)
  const { asksForSeveral, brokers } = await import('./skylark/brokers.ts')
  if (asksForSeveral(args)) await brokers(args)
  else await import('./mqbroker.ts')
}

const store = program.command('store').description('look into a store that no broker has open, and put it right')
const storeDir = ['<dir>', "the store's directory, a broker's storePathRootDir"] as const
const brokerConf = [
  '-c, --config <file>',
  'the broker.conf that it was written with; sizes are else learnt from the files'
] as const

store
  .command('check')
  .description('read every record, ConsumeQueue unit and index entry, and compare them; changes nothing')
  .argument(...storeDir)
  .option(...brokerConf)
  .option('--no-lock', "do not take the store's lock: for a copy that nobody writes to")
  .option('--json', 'print the report as JSON', false)
  .action(async (dir, options) => (await import('./skylark/store.ts')).check(dir, options))

store
  .command('dump')
  .description('print messages of a topic as its queues list them, or without a topic all records of the log')
  .argument(...storeDir)
  .option(...brokerConf)
  .option('-t, --topic <topic>', 'the topic')
  .option('-q, --queue <n>', 'only this queue of it', wholeNumber('--queue', 0))
  .option('-f, --from <where>', 'a queue offset, or a date as 2026-11-24T20:00')
  .option('--from-physical <offset>', 'of the log: the first physical offset', wholeNumber('--from-physical', 0))
  .option('-n, --count <n>', 'end after so many messages', wholeNumber('--count', 1))
  .option('--json', 'a JSON object a line', false)
  .addOption(
    new Option('-b, --body <form>', 'how bodies are shown').choices(['text', 'base64', 'hex', 'none']).default('text')
  )
  .action(async (dir, options) => (await import('./skylark/store.ts')).dump(dir, options))

store
  .command('rebuild')
  .description('delete ConsumeQueues, index and checkpoint and build them again from the log')
  .argument(...storeDir)
  .option(...brokerConf)
  .option('-k, --keep', "move the old files into replaced-TIME in the store's directory", false)
  .action(async (dir, options) => (await import('./skylark/store.ts')).rebuild(dir, options))

// They read the command line as if they had been started by their own names.
for (const [name, text, main] of [
  ['broker', 'run a broker, as mqbroker; with --brokers N several, each as a process', broker],
  ['namesrv', 'run a NameServer, as mqnamesrv', () => import('./mqnamesrv.ts')]
] as const)
  program
    .command(name)
    .description(text)
    .helpOption(false)
    .allowUnknownOption()
    .argument('[options...]')
    .action(async () => {
      process.argv.splice(2, 1)
      await main()
    })

program
  .command('cluster')
  .description('clusters on this machine, for trying things out')
  .command('up')
  .description('run NameServers, masters and their slaves here, each as a process, until Ctrl+C')
  .option('--names <n>', 'NameServers', wholeNumber('--names', 1, 10), 1)
  .option('--masters <n>', 'masters', wholeNumber('--masters', 1, 26), 2)
  .option('--slaves <n>', 'slaves of each master', wholeNumber('--slaves', 0, 9), 0)
  .option('--dir <folder>', 'where data, settings and logs are kept, a folder for each', './cluster')
  .option(
    '--base-port <port>',
    'the first NameServer; brokers begin 100 above, in steps of 10; 0 takes free ports',
    wholeNumber('--base-port', 0, 60_000),
    9876
  )
  .action(async options => (await import('./skylark/cluster.ts')).clusterUp(options))

program
  .command('top')
  .description('watch brokers, topics and consumer groups; q ends it')
  .addOption(namesrv())
  .option('--once', 'print it once', false)
  .option('--json', 'a JSON object a line, each second or once', false)
  .action(async options => (await import('./skylark/top.ts')).top(options))

// A reader that has seen enough, as `| head` does, is no failure.
process.stdout.on('error', () => process.exit(0))

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : USAGE_ERROR
  else {
    process.stderr.write(`${error instanceof CommandError ? error.message : sentence(error)}\n`)
    if ((error as { code?: unknown }).code === 'NAMESRV_UNREACHABLE')
      process.stderr.write('"skylark start" runs one on this machine.\n')
    process.exitCode = error instanceof CommandError ? error.exitCode : 1
  }
}
