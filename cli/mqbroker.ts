#!/usr/bin/env node
// The broker as a process, with RocketMQ's options: mqbroker -c broker.conf -n 127.0.0.1:9876. BrokerStartup
import { Broker, brokerConfigText, readBrokerConfig } from '../broker/index.ts'
import { parseAddress } from '../net/index.ts'
import { createLog } from './log.ts'
import { flag, type Option, value } from './options.ts'
import { CLOSE_TIMEOUT_MS, readCommandLine, run, serve, warnIfOpen } from './process.ts'

const options: readonly Option[] = [
  flag('h', 'help', 'Print help'),
  value('n', 'namesrvAddr', "NameServers: '192.168.0.1:9876;192.168.0.2:9876'; before broker.conf and $NAMESRV_ADDR"),
  value('c', 'configFile', 'a file of settings, key=value'),
  flag('p', 'printConfigItem', 'print all settings and end'),
  flag('m', 'printImportantConfig', 'print the settings that matter most and end')
]

/** What RocketMQ calls important, as far as it acts here. ImportantField */
const IMPORTANT: ReadonlySet<string> = new Set([
  'namesrvAddr',
  'listenPort',
  'brokerIP1',
  'brokerName',
  'brokerClusterName',
  'brokerId',
  'brokerRole',
  'autoCreateTopicEnable',
  'autoCreateSubscriptionGroup',
  'msgTraceTopicName',
  'traceTopicEnable',
  'rejectTransactionMessage',
  'storePathRootDir',
  'storePathCommitLog',
  'flushDiskType',
  'flushIntervalCommitLog',
  'deleteWhen',
  'fileReservedTime',
  'maxTransferBytesOnMessageInMemory',
  'maxTransferCountOnMessageInMemory',
  'maxTransferBytesOnMessageInDisk',
  'maxTransferCountOnMessageInDisk',
  'messageIndexEnable'
])

await run(async () => {
  const given = readCommandLine('mqbroker', options, process.argv.slice(2))
  if (given === null) return
  const config = readBrokerConfig(given.get('c'))
  const namesrvAddr = given.get('n') ?? config.options.namesrvAddr ?? ''
  for (const address of namesrvAddr.split(';')) if (address.trim() !== '') parseAddress(address)
  const log = createLog()
  const broker = new Broker({ ...config.options, namesrvAddr, log })
  if (given.has('p') || given.has('m')) {
    for (const line of brokerConfigText(broker.options).split(/(?<=\n)/))
      if (given.has('p') || IMPORTANT.has(line.split('=', 1)[0]!)) process.stdout.write(line)
    return
  }
  for (const warning of config.warnings) log.warn({}, warning)
  warnIfOpen(log, broker.options.listenHost)
  const server = {
    start: () => broker.start(),
    close: async () => {
      await broker.handOver()
      await broker.close()
    }
  }
  await serve([server], log, CLOSE_TIMEOUT_MS + broker.options.shutdownWaitTimeMs)
  const tip = `The broker[${broker.options.brokerName}, ${broker.address}] boot success. serializeType=JSON`
  process.stdout.write(`${tip}${namesrvAddr === '' ? '' : ` and name server is ${namesrvAddr}`}\n`)
})
