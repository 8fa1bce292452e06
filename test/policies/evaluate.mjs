// Decides questions with @cloud-copilot/iam-simulate: a line of JSON in, a line out. It asks the package's engine itself, since
// what the package exports takes known actions alone, or no name for a resource's policy.
import { createInterface } from 'node:readline'
import { loadPolicy } from '@cloud-copilot/iam-policy'

const engine = new URL('../node_modules/@cloud-copilot/iam-simulate/dist/esm/', import.meta.url)
const { authorize } = await import(new URL('core_engine/CoreSimulatorEngine.js', engine))
const { DiscoveryContextKeyConstraints } = await import(new URL('context_keys/discoveryContextKeyConstraints.js', engine))
const { AwsRequestImpl } = await import(new URL('request/request.js', engine))
const { RequestContextImpl } = await import(new URL('requestContext.js', engine))

const load = (policy) => loadPolicy(policy, { name: 'policy' })

for await (const line of createInterface({ input: process.stdin })) {
  const q = JSON.parse(line)
  const request = new AwsRequestImpl(q.principal, { resource: q.resource, accountId: q.owner }, q.action, new RequestContextImpl(q.context))
  const { result } = authorize({
    request,
    identityPolicies: q.identity.map(load),
    permissionBoundaries: q.boundary?.map(load),
    sessionPolicy: q.session ? load(q.session) : undefined,
    resourcePolicy: q.resourcePolicy ? load(q.resourcePolicy) : undefined,
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    simulationParameters: { simulationMode: 'Strict', discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]) },
    serviceSettings: {},
  })
  console.log(JSON.stringify(result.result ?? result))
}
