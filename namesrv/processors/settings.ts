import { existsSync, readFileSync } from 'node:fs'
import {
  mergeProperties,
  type RemotingCommand,
  RequestCode,
  type RequestDispatcher,
  ResponseCode,
  response,
  updateSettings
} from '../../net/index.ts'
import { nameServerConfigText, namesrvSettings } from '../config.ts'
import type { NameServerState } from '../name-server.ts'
import { WholeFile } from '../whole-file.ts'

/** What the NameServer is set to. A change is answered when it stands in the configuration file. DefaultRequestProcessor */
export function registerSettingsProcessors(dispatcher: RequestDispatcher, { options, routes }: NameServerState): void {
  const { configStorePath: path } = options
  const changes = new Map<string, string>()
  const file =
    path === null
      ? null
      : new WholeFile(path, () => mergeProperties(existsSync(path) ? readFileSync(path, 'utf8') : '', changes))
  dispatcher.register(RequestCode.GET_NAMESRV_CONFIG, () =>
    response(ResponseCode.SUCCESS, null, null, nameServerConfigText(options))
  )
  dispatcher.register(RequestCode.UPDATE_NAMESRV_CONFIG, update)

  async function update({ body }: RemotingCommand): Promise<RemotingCommand> {
    const { changed, remark } = updateSettings(namesrvSettings, options, Buffer.from(body ?? []).toString('utf8'))
    routes.forgetAnswers()
    for (const [key, value] of changed) changes.set(key, value)
    if (changed.size > 0) await file?.save()
    return response(ResponseCode.SUCCESS, remark)
  }
}
