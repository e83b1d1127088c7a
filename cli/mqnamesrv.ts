#!/usr/bin/env node
// The NameServer as a process, with RocketMQ's options: mqnamesrv -c namesrv.conf. NamesrvStartup
import { NameServer, nameServerDefaults, namesrvSettings, readNameServerConfig } from '../namesrv/index.ts'
import { settingsText } from '../net/index.ts'
import { createLog } from './log.ts'
import { flag, type Option, value } from './options.ts'
import { readCommandLine, run, serve, warnIfOpen } from './process.ts'

const options: readonly Option[] = [
  flag('h', 'help', 'Print help'),
  value('n', 'namesrvAddr', 'without effect; accepted as RocketMQ accepts it'),
  value('c', 'configFile', 'a file of settings, key=value'),
  flag('p', 'printConfigItem', 'print all settings and end')
]

await run(async () => {
  const given = readCommandLine('mqnamesrv', options, process.argv.slice(2))
  if (given === null) return
  const path = given.get('c')
  const config = readNameServerConfig(path)
  const settings = { ...nameServerDefaults, ...config.options }
  if (given.has('p')) {
    process.stdout.write(settingsText(namesrvSettings, settings))
    return
  }
  const log = createLog()
  for (const warning of config.warnings) log.warn({}, warning)
  if (path !== undefined) process.stdout.write(`load config properties file OK, ${path}\n`)
  warnIfOpen(log, settings.listenHost)
  const server = new NameServer({ ...settings, log })
  await serve([server], log)
  process.stdout.write(`The Name Server boot success. serializeType=JSON, address ${server.address}\n`)
})
