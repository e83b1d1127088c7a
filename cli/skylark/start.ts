import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Broker } from '../../broker/index.ts'
import { NameServer } from '../../namesrv/index.ts'
import { createLog, type LogLevel } from '../log.ts'
import { serve, warnIfOpen } from '../process.ts'
import { duration, styled } from './terminal.ts'

export interface StartOptions {
  dataDir: string
  host: string
  port: number
  namesrvPort: number
  logLevel: LogLevel
}

const DEFAULT_NAMESRV_PORT = 9876

/** A NameServer and a broker in one process, until a signal. */
export async function start({ dataDir, host, port, namesrvPort, logLevel }: StartOptions): Promise<void> {
  const begin = performance.now()
  const log = createLog(logLevel)
  const data = resolve(dataDir)
  mkdirSync(data, { recursive: true })
  warnIfOpen(log, host)

  const nameServer = new NameServer({
    listenHost: host,
    listenPort: namesrvPort,
    kvConfigPath: join(data, 'namesrv', 'kvConfig.json'),
    log
  })
  // The broker is made when the NameServer's port is known.
  let broker: Broker | null = null
  const brokerServer = {
    start: async () => {
      const [, boundPort] = /:(\d+)$/.exec(nameServer.address)!
      const near = host === '0.0.0.0' || host === '::' ? `127.0.0.1:${boundPort}` : nameServer.address
      broker = new Broker({
        storePathRootDir: join(data, 'store'),
        listenHost: host,
        listenPort: port,
        brokerName: 'broker-a',
        namesrvAddr: near,
        log
      })
      await broker.start()
    },
    close: async () => broker?.close()
  }
  await serve([nameServer, brokerServer], log)

  const { address } = broker! as Broker
  const took = duration(performance.now() - begin)
  process.send?.({ namesrv: nameServer.address, broker: address })
  const name = (text: string) => styled(process.stdout, 'bold', text)
  const command = (text: string) => styled(process.stdout, 'cyan', text)
  const where = nameServer.address.endsWith(`:${DEFAULT_NAMESRV_PORT}`) ? '' : ` --namesrv ${nameServer.address}`
  process.stdout.write(
    [
      `${name('Skylark')} is ready after ${took}.`,
      '',
      `  NameServer  ${nameServer.address}`,
      `  Broker      ${address}`,
      `  Data        ${data}`,
      '',
      'Try, in another terminal:',
      '',
      `  ${command(`npx skylark produce hello "one espresso"${where}`)}`,
      `  ${command(`npx skylark consume hello${where}`)}`,
      '',
      'Ctrl+C stops it.',
      ''
    ].join('\n')
  )
}
