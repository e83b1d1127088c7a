import t from 'tap'
import { parseBody, RequestCode, ResponseCode, response } from '../../net/index.ts'
import { openBroker, until } from '../support/broker.ts'
import { consumer } from '../support/consumer.ts'
import { bodiesOf, send } from '../support/messages.ts'

const RUNNING_INFO = { consumerGroup: 'CG', clientId: 'client-1', jstackEnable: 'false' }

t.test('a client is asked on its own connection, and its answer is passed on as it is', async t => {
  const open = await openBroker(t)
  const asked: unknown[] = []
  await consumer(t, open, {
    answers: {
      [RequestCode.GET_CONSUMER_RUNNING_INFO]: ({ extFields }) => {
        asked.push(extFields)
        return response(ResponseCode.SUCCESS, 'all is well', null, '{"mqTable":{}}')
      }
    }
  })
  const answer = await open.ask(RequestCode.GET_CONSUMER_RUNNING_INFO, RUNNING_INFO)
  t.match(answer, { code: ResponseCode.SUCCESS, remark: 'all is well' })
  t.same(parseBody(answer.body), { mqTable: {} })
  t.same(asked, [RUNNING_INFO])
})

t.test('a client that is not there cannot be asked', async t => {
  const open = await openBroker(t)
  const refused = (remark: string) => ({ code: ResponseCode.SYSTEM_ERROR, remark })
  t.match(
    await open.ask(RequestCode.GET_CONSUMER_RUNNING_INFO, RUNNING_INFO),
    refused('The Consumer <CG> <client-1> not online')
  )
  t.match(
    await open.ask(RequestCode.CONSUME_MESSAGE_DIRECTLY, { consumerGroup: 'CG', msgId: 'x' }),
    refused('The Consumer <CG> <null> not online')
  )
  t.match(
    await open.ask(RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, { topic: 'orders', group: 'CG' }),
    refused('No Any Consumer online in the consumer group: [CG]')
  )
})

t.test('a client that leaves instead of answering is said to have left', async t => {
  const open = await openBroker(t)
  let asked = false
  const client = await consumer(t, open, {
    answers: {
      [RequestCode.GET_CONSUMER_RUNNING_INFO]: () => {
        asked = true
        return null
      }
    }
  })
  const answer = open.ask(RequestCode.GET_CONSUMER_RUNNING_INFO, RUNNING_INFO)
  await until('the client is asked', () => asked)
  await client.close()
  t.match(await answer, { code: ResponseCode.SYSTEM_ERROR, remark: /^invoke consumer <CG> <client-1> Exception: / })
})

t.test('a message is given to a client to consume, with what it needs to know', async t => {
  const open = await openBroker(t)
  const sent = await send(open, { topic: 'orders', body: 'espresso' })
  const msgId = sent.extFields!.msgId!
  const asked: unknown[] = []
  await consumer(t, open, {
    answers: {
      [RequestCode.CONSUME_MESSAGE_DIRECTLY]: request => {
        asked.push(request.extFields, bodiesOf(request))
        return response(ResponseCode.SUCCESS, null, null, '{"consumeResult":"CR_SUCCESS"}')
      }
    }
  })
  const fields = { consumerGroup: 'CG', clientId: 'client-1', topic: 'orders' }
  const answer = await open.ask(RequestCode.CONSUME_MESSAGE_DIRECTLY, { ...fields, msgId })
  t.same(parseBody(answer.body), { consumeResult: 'CR_SUCCESS' })
  t.same(asked, [{ ...fields, msgId, brokerName: 'broker-a', topicSysFlag: '0', groupSysFlag: '0' }, ['espresso']])
  t.match(await open.ask(RequestCode.CONSUME_MESSAGE_DIRECTLY, { ...fields, msgId: 'zz' }), { code: 29, remark: /zz/ })
  const gone = `${msgId.slice(0, 16)}0000000000FFFFFF`
  t.match(await open.ask(RequestCode.CONSUME_MESSAGE_DIRECTLY, { ...fields, msgId: gone }), {
    code: 1,
    remark: /FFFFFF/
  })
})

t.test('all members of a group tell where they stand, or the one that is asked for', async t => {
  const open = await openBroker(t)
  const queue = '{"brokerName":"broker-a","queueId":0,"topic":"orders"}'
  for (const [clientId, body] of [
    ['client-1', `{"consumerTable":{},"messageQueueTable":{${queue}:3}}`],
    ['client-2', `{"messageQueueTable":{${queue}:4}}`],
    ['client-3', 'null']
  ] as const)
    await consumer(t, open, {
      clientId,
      answers: {
        [RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT]: ({ extFields }) => {
          t.same(extFields, { topic: 'orders', group: 'CG' })
          return response(ResponseCode.SUCCESS, null, null, body)
        }
      }
    })
  const status = async (clientAddr?: string) => {
    const fields = { topic: 'orders', group: 'CG', ...(clientAddr === undefined ? {} : { clientAddr }) }
    const { body } = await open.ask(RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, fields)
    const { consumerTable } = parseBody(body) as { consumerTable: Record<string, Map<object, number>> }
    return Object.fromEntries(Object.entries(consumerTable).map(([id, table]) => [id, [...table]]))
  }
  const key = JSON.parse(queue)
  t.same(await status(), { 'client-1': [[key, 3]], 'client-2': [[key, 4]] })
  t.same(await status('client-2'), { 'client-2': [[key, 4]] })
})
