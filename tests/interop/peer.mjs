// A js-libp2p peer for test_js_libp2p.py. Speaks to the test in lines of JSON: orders in, events out.
//   node peer.mjs TOPIC

// These packages want Node.js 22; this is all that 20 lacks.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const { createInterface } = await import('node:readline')
const { createLibp2p } = await import('libp2p')
const { noise } = await import('@chainsafe/libp2p-noise')
const { yamux } = await import('@chainsafe/libp2p-yamux')
const { gossipsub } = await import('@libp2p/gossipsub')
const { identify } = await import('@libp2p/identify')
const { ping } = await import('@libp2p/ping')
const { tcp } = await import('@libp2p/tcp')
const { multiaddr } = await import('@multiformats/multiaddr')

const topic = process.argv[2]
const tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n')

const peer = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) }
})

peer.services.pubsub.addEventListener('message', ({ detail }) => {
  if (detail.topic === topic) tell('message', { data: Buffer.from(detail.data).toString('hex') })
})
peer.addEventListener('peer:identify', ({ detail }) => tell('identified', {
  peer: detail.peerId.toString(), agent: detail.agentVersion, protocols: detail.protocols
}))
peer.addEventListener('peer:disconnect', ({ detail }) => tell('disconnected', { peer: detail.toString() }))
peer.services.pubsub.subscribe(topic)
tell('started', { addresses: peer.getMultiaddrs().map(String) })

const orders = {
  dial: async ({ address }) => {
    const connection = await peer.dial(multiaddr(address))
    return { encryption: connection.encryption, multiplexer: connection.multiplexer }
  },
  ping: async ({ address }) => ({ milliseconds: await peer.services.ping.ping(multiaddr(address)) }),
  publish: async ({ data }) => {
    const { recipients } = await peer.services.pubsub.publish(topic, Buffer.from(data, 'hex'))
    return { recipients: recipients.length }
  },
  mesh: async () => ({ peers: peer.services.pubsub.getMeshPeers(topic) })
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line)
  try {
    tell('done', { order: order.order, ...(await orders[order.order](order)) })
  } catch (error) {
    tell('failed', { order: order.order, error: String(error) })
  }
}
await peer.stop()
