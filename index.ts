// Run a NameServer and brokers inside a program; what sends and consumes is in `skylark/client`.
export {
  Broker,
  BrokerError,
  type BrokerErrorCode,
  type BrokerOptions,
  brokerDefaults,
  readBrokerConfig
} from './broker/index.ts'
// What a broker's store can be told, and what can go wrong with it.
export { EngineError, type EngineErrorCode, type StoreOptions, storeDefaults } from './engine/index.ts'
export {
  NameServer,
  type NameServerOptions,
  NamesrvError,
  type NamesrvErrorCode,
  nameServerDefaults,
  readNameServerConfig
} from './namesrv/index.ts'
// Where both report what they do, and what can go wrong on the wire.
export { type Log, NetError, type NetErrorCode, silentLog } from './net/index.ts'
