import t from 'tap'
import { doubleText, format, parseTime, timeMsText, timeText } from '../../cli/format.ts'

process.env.TZ = 'UTC'

t.test('columns are padded as printf pads them', async t => {
  t.equal(format('%-6s|%6s|%04d|%.2f|%9.2f%n', 'ab', 'cd', 7, 0.125, 1.5), 'ab    |    cd|0007|0.13|     1.50\n')
  t.equal(format('%-3s|%s', 'longer', null), 'longer|null', 'what is too long is not cut')
  t.equal(format('100%% of %s', 'it'), '100% of it')
})

t.test('doubles have a fraction, and an exponent from ten million on', async t => {
  t.equal(doubleText(0), '0.0')
  t.equal(doubleText(3), '3.0')
  t.equal(doubleText(0.07161372182181722), '0.07161372182181722')
  t.equal(doubleText(12345678), '1.2345678E7')
  t.equal(doubleText(1e7), '1.0E7')
  t.equal(doubleText(0.0001), '1.0E-4')
})

t.test('times are shown in the zone of the machine', async t => {
  t.equal(timeText(1795426778874), '2026-11-23 09:39:38')
  t.equal(timeMsText(1795426778874), '2026-11-23 09:39:38,874')
  t.equal(timeMsText(0), '1970-01-01 00:00:00,000')
})

t.test('a time is a number of milliseconds or a date', async t => {
  t.equal(parseTime('1795426778874'), 1795426778874)
  t.equal(parseTime('-1'), -1)
  t.equal(parseTime('2026-11-23#09:39:38:874'), 1795426778874)
  t.throws(() => parseTime('yesterday'), /"yesterday" is no time/)
})
