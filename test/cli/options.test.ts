import t from 'tap'
import { flag, formatHelp, oneOf, parseOptions, required, UsageError, value } from '../../cli/options.ts'

const [broker, cluster] = oneOf(value('b', 'brokerAddr', 'a broker'), value('c', 'clusterName', 'a cluster'))
const options = [
  flag('h', 'help', 'help'),
  broker!,
  cluster!,
  required('t', 'topic', 'a topic'),
  value('qn', 'totalQueueNum', 'how many'),
  flag('l', 'list', 'a list'),
  flag('m', 'moreStats', 'more'),
  value(null, 'attributes', 'attributes')
]
const NEEDED = ['-t', 'T', '-b', 'B']

/** What was given, without what every command line here needs. */
function given(...args: string[]): Record<string, string> {
  const found = parseOptions(options, [...args, ...NEEDED])
  const names = options.map(({ short, long }) => short ?? long).filter(name => found.has(name))
  return Object.fromEntries(
    names.map(name => [name, found.get(name)!]).filter(([, text]) => text !== 'T' && text !== 'B')
  )
}

const complaint = (...args: string[]): string => {
  try {
    parseOptions(options, args)
  } catch (error) {
    if (error instanceof UsageError) return error.message
    throw error
  }
  return ''
}

t.test('every way to write an option is read as Java reads it', async t => {
  for (const args of [['-t', 'x'], ['-tx'], ['-t=x'], ['--topic', 'x'], ['--topic=x'], ['--top', 'x'], ['-topic', 'x']])
    t.same(given(...args), { t: 'x' }, args.join(' '))
  t.same(given('-qn', '3'), { qn: '3' }, 'a short name of two letters')
  t.same(given('-lm'), { l: '', m: '' }, 'flags in one word')
  t.same(given('-ltx'), { l: '', t: 'x' }, 'a flag and a value in one word')
  t.same(given('--attributes', '+a=b'), { attributes: '+a=b' }, 'an option without a short name')
  t.same(given('-t', '-1'), { t: '-1' }, 'a negative number is a value')
  t.same(given('-t', '-xyz'), { t: '-xyz' }, 'what begins like no option is a value')
  t.same(given('-t', '"x y"'), { t: 'x y' }, 'quotes around a value are taken off')
  t.same(given('-t', ' x '), { t: 'x' }, 'blanks around a value are taken off')
  t.same(given('-t', 'x', 'more', '-l'), { t: 'x', l: '' }, 'other words are left out')
})

t.test('of an option that is given twice the first counts', async t => {
  t.equal(parseOptions(options, ['-t', 'first', '-t', 'second', '-b', 'B']).get('t'), 'first')
})

t.test('behind -- nothing is an option', async t => {
  t.notOk(parseOptions(options, [...NEEDED, '--', '-l']).has('l'))
})

t.test('what is wrong with a command line is said in the words of Java', async t => {
  t.equal(complaint('-b', 'x'), 'Missing required option: t')
  t.equal(complaint('-t', 'x'), 'Missing required option: [-b a broker, -c a cluster]')
  t.equal(complaint(), 'Missing required options: [-b a broker, -c a cluster], t')
  t.equal(complaint('-t'), 'Missing argument for option: t')
  t.equal(complaint('-t', '-l'), 'Missing argument for option: t')
  t.equal(complaint('-z'), 'Unrecognized option: -z')
  t.equal(complaint('--zzz=1'), 'Unrecognized option: --zzz=1')
  t.equal(complaint('--to', '1'), "Ambiguous option: '--to'  (could be: 'topic', 'totalQueueNum')")
  t.equal(
    complaint('-b', 'x', '-c', 'y'),
    "The option 'c' was specified but an option from this group has already been selected: 'b'"
  )
})

t.test('help is given whatever else is missing', async t => {
  t.equal(complaint('-h'), '')
})

t.test('numbers and truth are read out of values, and a wrong number is named', async t => {
  const found = parseOptions(options, ['-qn', '12', '-t', 'True', '-b', '1x'])
  t.equal(found.int('qn', 0), 12)
  t.equal(found.int('attributes', 7), 7)
  t.equal(found.bool('t'), true)
  t.equal(found.bool('attributes'), false)
  t.equal(found.bool('attributes', true), true)
  t.throws(() => found.int('b', 0), { message: 'For input string: "1x"' })
})

t.test('the help page has the form of Java', async t => {
  t.same(formatHelp('mqadmin try', options).split('\n'), [
    'usage: mqadmin try [--attributes <arg>] -b <arg> | -c <arg>  [-h] [-l] [-m] [-qn <arg>] -t <arg>',
    '    --attributes <arg>       attributes',
    ' -b,--brokerAddr <arg>       a broker',
    ' -c,--clusterName <arg>      a cluster',
    ' -h,--help                   help',
    ' -l,--list                   a list',
    ' -m,--moreStats              more',
    ' -qn,--totalQueueNum <arg>   how many',
    ' -t,--topic <arg>            a topic'
  ])
  const long = formatHelp('mqadmin try', [value('x', 'xx', 'word '.repeat(40).trim())]).split('\n')
  t.equal(long.length, 4)
  t.ok(
    long.slice(2).every(line => line.startsWith(`${' '.repeat(' -x,--xx <arg>   '.length)}word`)),
    'the text goes on in its column'
  )
})
