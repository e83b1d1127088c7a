// A broker, and what can be set.

export { Broker, type BrokerSeams } from './broker.ts'
export { brokerConfigText, brokerSettings, readBrokerConfig, updateBrokerConfig } from './config.ts'
export { BrokerError, type BrokerErrorCode, BrokerErrors } from './errors.ts'
export { type BrokerOptions, brokerDefaults } from './options.ts'
