// Serve and call.

export { clientDefaults, parseAddress, RemotingClient, type RemotingClientOptions } from './client.ts'
// Codes and errors.
export {
  LANGUAGE_JAVA,
  LANGUAGE_OTHER,
  LANGUAGES,
  MQ_VERSION,
  RequestCode,
  ResponseCode,
  responseName,
  versionName
} from './codes.ts'
// Commands and their headers and bodies.
export {
  decodeCommand,
  type ExtFields,
  encodeCommand,
  encodeHead,
  isOneWay,
  isResponse,
  ONE_WAY_FLAG,
  RESPONSE_FLAG,
  type RemotingCommand,
  request,
  response
} from './command.ts'
export { Connection, type ConnectionOptions, OutputBuffer, type Waiter } from './connection.ts'
export { type DirectHandler, RequestDispatcher, type RequestHandler } from './dispatcher.ts'
export { NetError, type NetErrorCode, NetErrors } from './errors.ts'
// Frames.
export {
  BINARY_HEADER,
  FRAME_HEAD_BYTES,
  Frame,
  FrameDecoder,
  type FrameSink,
  JSON_HEADER,
  LENGTH_BYTES,
  type SerializeType
} from './frame.ts'
export { type HeaderValues, header } from './header.ts'
export * from './headers.ts'
export { type FormatOptions, formatBody, parseBody } from './json.ts'
export { type Log, silentLog } from './log.ts'
export { SendHeaderView, writeSendResponse } from './send-codec.ts'
export { SendAnswerView, type SendFields, SendRequestWriter, type SendTarget } from './send-request.ts'
export { listenOn, RemotingServer, type RemotingServerOptions, serverDefaults } from './server.ts'
export {
  allowedValues,
  type Configurable,
  defaultOnly,
  mergeProperties,
  parseProperties,
  readSettings,
  type Setting,
  type Settings,
  settingsText,
  settingValue,
  updateSettings,
  withoutEffect
} from './settings.ts'
