import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { decodeProperties, encodeProperties, PropertyScan, ScannedProperty } from '../../message/index.ts'
import { vectors } from '../support/vectors.ts'

t.test('properties are read as RocketMQ reads them', async t => {
  for (const { string, decoded } of vectors.properties)
    t.same(Object.fromEntries(decodeProperties(string)), decoded, JSON.stringify(string))
})

t.test('no text at all holds no properties', async t => {
  t.equal(decodeProperties(null).size, 0)
  t.equal(decodeProperties(undefined).size, 0)
})

const name = fc
  .string({ unit: 'grapheme', minLength: 1 })
  .filter(text => !text.includes('\u0001') && !text.includes('\u0002'))
const value = fc.string({ unit: 'grapheme', minLength: 1 }).filter(text => !text.includes('\u0002'))

t.test('what is written is read again, in its order', async t => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), pairs => {
      const properties = new Map(pairs)
      assert.deepEqual([...decodeProperties(encodeProperties(properties))], [...properties])
    })
  )
  t.pass()
})

t.test('every pair ends with a separator, as RocketMQ 5 writes them', async t => {
  t.equal(encodeProperties(new Map([['TAGS', 'A']])), 'TAGS\u0001A\u0002')
  t.equal(encodeProperties({ a: '1', b: '2' }), 'a\u00011\u0002b\u00012\u0002')
  t.equal(encodeProperties({}), '')
})

t.test('a scan over bytes finds what reading the text finds, whatever the text', async t => {
  const piece = fc.oneof(
    fc.constantFrom(...Object.keys(ScannedProperty)),
    fc.constantFrom('\u0001', '\u0002', '\u0000', 'TAG', 'TAGSX', 'x', '标签', '🦅', ' ')
  )
  const scan = new PropertyScan()
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), pieces => {
      const text = pieces.join('')
      const bytes = Buffer.from(`pad${text}pad`)
      scan.scan(bytes, 3, bytes.length - 3)
      const properties = decodeProperties(text)
      for (const [name, id] of Object.entries(ScannedProperty)) if (scan.text(id) !== properties.get(name)) return false
      return true
    }),
    { numRuns: 2000 }
  )
  t.pass()
})

t.test('nothing of an earlier scan is left over', async t => {
  const scan = new PropertyScan()
  scan.scan(Buffer.from('TAGS\u0001A\u0002KEYS\u0001k\u0002'), 0, 15)
  t.equal(scan.text(ScannedProperty.KEYS), 'k')
  scan.scan(Buffer.from('TAGS\u0001B\u0002'), 0, 7)
  t.equal(scan.text(ScannedProperty.TAGS), 'B')
  t.equal(scan.has(ScannedProperty.KEYS), false)
  t.equal(scan.text(ScannedProperty.KEYS), undefined)
})
