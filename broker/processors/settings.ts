import { writeFileAtomically } from '../../engine/index.ts'
import {
  formatBody,
  mergeProperties,
  parseAddress,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response
} from '../../net/index.ts'
import type { Broker } from '../broker.ts'
import { brokerConfigText, updateBrokerConfig } from '../config.ts'
import { newDataVersion, nextVersion } from '../data-version.ts'

/** What the broker is set to. A change is answered when it stands in the configuration file. AdminBrokerProcessor */
export function registerSettingsRequests(broker: Broker): void {
  const { dispatcher, files, options } = broker
  const version = newDataVersion()
  const changes = new Map<string, string>()
  let saving: Promise<void> = Promise.resolve()
  // The store reads its options at each use: a change reaches it there.
  options.store = broker.store.options
  dispatcher.register(RequestCode.GET_BROKER_CONFIG, get)
  dispatcher.register(RequestCode.UPDATE_BROKER_CONFIG, update)

  function get(): RemotingCommand {
    const { brokerIP1, brokerIP2 } = options
    const text = brokerConfigText({
      ...options,
      brokerIP1: brokerIP1 ?? broker.host,
      brokerIP2: brokerIP2 ?? brokerIP1 ?? broker.host,
      listenPort: parseAddress(broker.address).port
    })
    return response(ResponseCode.SUCCESS, null, { version: formatBody(version) }, text)
  }

  async function update({ body }: RemotingCommand): Promise<RemotingCommand> {
    const { changed, remark } = updateBrokerConfig(options, Buffer.from(body ?? []).toString('utf8'))
    if (changed.size === 0) return response(ResponseCode.SUCCESS, remark)
    nextVersion(version)
    for (const [key, value] of changed) changes.set(key, value)
    if (changed.has('brokerPermission')) {
      // NameServers take what they know already only with a new version.
      nextVersion(broker.topics.version)
      await broker.nameServers.registerAll()
    }
    await save()
    return response(ResponseCode.SUCCESS, remark)
  }

  function save(): Promise<void> {
    const { brokerConfigPath: path } = options
    if (path === null) return Promise.resolve()
    saving = saving
      .catch(() => {})
      .then(() => writeFileAtomically(files, path, mergeProperties(files.readText(path) ?? '', changes)))
    return saving
  }
}
