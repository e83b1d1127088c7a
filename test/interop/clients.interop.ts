import t from 'tap'
import { javaVersions, startJava } from './java.ts'
import { consuming, limits, operating, pulling, type Scenarios, sending } from './scenarios.ts'
import { hasTools, startCluster } from './support.ts'

// Both header types; in the examples and in mqadmin both versions use the default, JSON.
const headers = { '4.9.8': 'ROCKETMQ', '5.5.0': 'JSON' } as const

t.jobs = javaVersions.length

if (hasTools(t, 'java', 'javac', 'mvn'))
  for (const version of javaVersions)
    t.test(`the Java client ${version} with ${headers[version]} headers`, { buffered: true, jobs: 8 }, async t => {
      const cluster = await startCluster(t)
      const client = await startJava(t, cluster, version, headers[version])
      const scenarios: Scenarios = { ...sending, ...limits, ...consuming, ...pulling, ...operating }
      for (const [name, scenario] of Object.entries(scenarios))
        t.test(name, { buffered: true }, t => scenario(t, { cluster, client }))
    })
