import { brokerDefaults, brokerSettings } from '../../broker/index.ts'
import { storeDefaults } from '../../engine/index.ts'
import { nameServerDefaults, namesrvSettings } from '../../namesrv/index.ts'
import { allowedValues, type Configurable, type Setting, type Settings, settingValue } from '../../net/index.ts'

const code = (text: string): string => (text === '' ? '' : `\`${text}\``)
const row = (...cells: string[]): string => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`

/** The default that holds, and RocketMQ's where that is another. */
function defaultOf(setting: Setting, key: string, defaults: Pick<Configurable, 'inertSettings'>): string {
  const theirs = setting.default === null ? '' : String(setting.default)
  const ours = settingValue({ ...setting, default: null }, key, defaults)
  // What the options leave open is told by the note.
  if (ours === null || ours === theirs || setting.note.includes('Without it')) return code(theirs)
  return `${code(ours)} (RocketMQ: ${code(theirs)})`
}

function acting(settings: Settings, defaults: Pick<Configurable, 'inertSettings'>): string[] {
  const rows = Object.entries(settings)
    .filter(([, { option }]) => option !== undefined)
    .map(([key, setting]) =>
      row(
        code(key),
        defaultOf(setting, key, defaults),
        allowedValues(setting),
        setting.dynamic ? 'yes' : 'no',
        setting.note
      )
    )
  return [
    row('Key', 'Default', 'Allowed', 'While it runs', 'What it does'),
    row('---', '---', '---', '---', '---'),
    ...rows
  ]
}

/** Keys without an option, by their reason. */
function inert(settings: Settings, only: boolean): string[] {
  const byNote = new Map<string, string[]>()
  for (const [key, setting] of Object.entries(settings)) {
    if (setting.option !== undefined || (setting.only ?? false) !== only) continue
    byNote.set(setting.note, [...(byNote.get(setting.note) ?? []), key])
  }
  return [...byNote].map(([note, keys]) => `- ${note}: ${keys.sort().map(code).join(', ')}`)
}

/** The text of docs/reference/configuration.md: what the tables of keys say. */
export function configurationPage(): string {
  const broker = { ...brokerDefaults, store: storeDefaults }
  return `${[
    '# Configuration',
    '',
    "Skylark reads RocketMQ's own property files: `mqbroker -c broker.conf`, `mqnamesrv -c namesrv.conf`. Keys, units and values are RocketMQ's. A value that is not allowed stops the start with the file, the key and what is allowed; a key that is unknown, or has no effect here and is set to something other than its default, is warned of.",
    '',
    '`mqadmin updateBrokerConfig` and `updateNamesrvConfig` change the keys marked so while the process runs, and write them into the file that it was started with. All other keys that have an effect are refused then. `getBrokerConfig` and `getNamesrvConfig` print what holds.',
    '',
    'This page is made from the tables in `broker/config.ts` and `namesrv/config.ts`: `UPDATE_DOCS=1 node dist/test/tidy/configuration.test.js` writes it anew.',
    '',
    '## broker.conf',
    '',
    ...acting(brokerSettings, broker),
    '',
    '### Accepted with their default only',
    '',
    'What another value promises would not hold, so the broker does not start with it.',
    '',
    ...inert(brokerSettings, true),
    '',
    '### Without effect',
    '',
    ...inert(brokerSettings, false),
    '',
    '## namesrv.conf',
    '',
    ...acting(namesrvSettings, nameServerDefaults),
    '',
    '### Accepted with their default only',
    '',
    ...inert(namesrvSettings, true),
    '',
    '### Without effect',
    '',
    ...inert(namesrvSettings, false)
  ].join('\n')}\n`
}
