{{- /* What runs the connector in a cluster: `lanyard join` applies it, and the Helm chart has a copy of this file that a
test holds to it. All values are keys of the dot: cluster, server, region, role, ca, image, pullPolicy, pullSecrets,
repository, failurePolicy, replicas, resources, nodeSelector, tolerations, activationSecret, agentRights. */ -}}
{{- define "lanyard.connector.labels" -}}
app.kubernetes.io/name: lanyard-connector
app.kubernetes.io/part-of: lanyard
{{- end -}}
{{- define "lanyard.connector" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: lanyard-connector
  namespace: lanyard-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
# What it reads everywhere, and the two things that it writes outside its namespace and kube-system: its own webhook
# configuration, and Events. Server-side apply asks for "create" with the object's name, so that even this right has one.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: lanyard-connector
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
rules:
- apiGroups: [""] # pods that are deleted, or the agent's and not ready, and what service accounts say to the webhook
  resources: [pods, serviceaccounts]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [lanyard-pod-identity]
  verbs: [create, patch, watch]
- nonResourceURLs: [/.well-known/openid-configuration, /openid/v1/jwks]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: lanyard-connector
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: lanyard-connector}
subjects:
- {kind: ServiceAccount, name: lanyard-connector, namespace: lanyard-system}
---
# The webhook's certificates, a spare token of its own for when the cluster's keys are replaced while it is away, and the
# lease of the one replica that acts.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: lanyard-connector
  namespace: lanyard-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
rules:
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [lanyard-connector-webhook]
  verbs: [get, update]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [lanyard-connector-spare]
  verbs: [get, create, patch]
- apiGroups: [""] # the pods that it has seen, for the connector after it
  resources: [configmaps]
  resourceNames: [lanyard-connector-pods]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [serviceaccounts/token]
  resourceNames: [lanyard-connector]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [lanyard-connector]
  verbs: [get, update]
# Where these are made by POST the API server is asked without a name.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: lanyard-connector
  namespace: lanyard-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: lanyard-connector}
subjects:
- {kind: ServiceAccount, name: lanyard-connector, namespace: lanyard-system}
---
# The agent's add-on, by its name.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: lanyard-connector
  namespace: kube-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
rules:
- apiGroups: [apps]
  resources: [daemonsets]
  resourceNames: [eks-pod-identity-agent]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts, configmaps]
  resourceNames: [eks-pod-identity-agent]
  verbs: [create, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: lanyard-connector
  namespace: kube-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: lanyard-connector}
subjects:
- {kind: ServiceAccount, name: lanyard-connector, namespace: lanyard-system}
{{- if has "verify-pods" .agentRights }}
---
# The agent asks whether a pod's token still holds. It learns nothing that it could not read in the token.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: lanyard-agent-verify-pods
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
rules:
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: lanyard-agent-verify-pods
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: lanyard-agent-verify-pods}
subjects:
- {kind: ServiceAccount, name: eks-pod-identity-agent, namespace: kube-system}
{{- end }}
{{- if has "startup-taint" .agentRights }}
---
# RBAC knows no "its own node" and no "this field": any node's agent can change any node.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: lanyard-agent-startup-taint
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
rules:
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: lanyard-agent-startup-taint
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: lanyard-agent-startup-taint}
subjects:
- {kind: ServiceAccount, name: eks-pod-identity-agent, namespace: kube-system}
{{- end }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: lanyard-connector
  namespace: lanyard-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
data:
  cluster: {{ .cluster | toJson }}
  server: {{ .server | toJson }}
  region: {{ .region | toJson }}
  roleArn: {{ .role | toJson }}
  ca.pem: {{ .ca | toJson }}
  imageRepository: {{ .repository | toJson }}
  failurePolicy: {{ .failurePolicy | toJson }}
  {{- if .agentRights }}
  agentRights: {{ join "," .agentRights | toJson }}
  {{- end }}
---
# Above what is evicted for others: while no connector runs, new pods have no credentials.
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata:
  name: lanyard-connector
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
value: 1000000000
description: Lanyard's connector, without which new pods get no credentials
---
apiVersion: v1
kind: Service
metadata:
  name: lanyard-connector
  namespace: lanyard-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
spec:
  selector:
    app.kubernetes.io/name: lanyard-connector
  ports:
  - {name: webhook, port: 443, targetPort: webhook, protocol: TCP}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: lanyard-connector
  namespace: lanyard-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      app.kubernetes.io/name: lanyard-connector
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: lanyard-connector
  namespace: lanyard-system
  labels: {{- include "lanyard.connector.labels" . | nindent 4 }}
spec:
  replicas: {{ .replicas }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels:
      app.kubernetes.io/name: lanyard-connector
  template:
    metadata:
      labels:
        app.kubernetes.io/name: lanyard-connector
        app.kubernetes.io/part-of: lanyard
        lanyard.dev/component: connector
      annotations:
        lanyard.dev/configuration: {{ list .cluster .server .region .role .ca .repository .failurePolicy .agentRights | toJson | sha256sum | toJson }}
    spec:
      serviceAccountName: lanyard-connector
      automountServiceAccountToken: true
      priorityClassName: lanyard-connector
      terminationGracePeriodSeconds: 30
      {{- with .pullSecrets }}
      imagePullSecrets: {{ toJson . }}
      {{- end }}
      {{- with .nodeSelector }}
      nodeSelector: {{ toJson . }}
      {{- end }}
      {{- with .tolerations }}
      tolerations: {{ toJson . }}
      {{- end }}
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm:
              topologyKey: kubernetes.io/hostname
              labelSelector:
                matchLabels:
                  app.kubernetes.io/name: lanyard-connector
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: topology.kubernetes.io/zone
        whenUnsatisfiable: ScheduleAnyway
        labelSelector:
          matchLabels:
            app.kubernetes.io/name: lanyard-connector
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: connector
        image: {{ .image | toJson }}
        imagePullPolicy: {{ .pullPolicy | toJson }}
        args:
        - --cluster-name=$(CLUSTER_NAME)
        - --image-repository=$(IMAGE_REPOSITORY)
        - --failure-policy=$(FAILURE_POLICY)
        {{- if .agentRights }}
        - --agent-rights=$(AGENT_RIGHTS)
        {{- end }}
        {{- if .activationSecret }}
        - --activation-dir=/etc/lanyard/activation
        {{- end }}
        env:
        - name: CLUSTER_NAME
          valueFrom: {configMapKeyRef: {name: lanyard-connector, key: cluster}}
        - name: AWS_ENDPOINT_URL
          valueFrom: {configMapKeyRef: {name: lanyard-connector, key: server}}
        - name: AWS_REGION
          valueFrom: {configMapKeyRef: {name: lanyard-connector, key: region}}
        - name: AWS_ROLE_ARN
          valueFrom: {configMapKeyRef: {name: lanyard-connector, key: roleArn}}
        - name: AWS_WEB_IDENTITY_TOKEN_FILE
          value: /var/run/secrets/lanyard.dev/serviceaccount/token
        {{- if .ca }}
        - name: AWS_CA_BUNDLE
          value: /etc/lanyard/server/ca.pem
        {{- end }}
        - name: IMAGE_REPOSITORY
          valueFrom: {configMapKeyRef: {name: lanyard-connector, key: imageRepository}}
        - name: FAILURE_POLICY
          valueFrom: {configMapKeyRef: {name: lanyard-connector, key: failurePolicy}}
        {{- if .agentRights }}
        - name: AGENT_RIGHTS
          valueFrom: {configMapKeyRef: {name: lanyard-connector, key: agentRights}}
        {{- end }}
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: POD_NAMESPACE
          valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
        ports:
        - {name: webhook, containerPort: 8443, protocol: TCP}
        - {name: metrics, containerPort: 2706, protocol: TCP}
        livenessProbe: # without TLS: a certificate that cannot be made is no reason to start again
          httpGet: {path: /healthz, port: metrics}
          initialDelaySeconds: 10
          periodSeconds: 10
          timeoutSeconds: 5
        readinessProbe: # as an API server will ask
          httpGet: {path: /readyz, port: webhook, scheme: HTTPS}
          periodSeconds: 5
          timeoutSeconds: 5
        resources: {{ toJson .resources }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        volumeMounts:
        - {name: identity, mountPath: /var/run/secrets/lanyard.dev/serviceaccount, readOnly: true}
        - {name: server, mountPath: /etc/lanyard/server, readOnly: true}
        {{- if .activationSecret }}
        - {name: activation, mountPath: /etc/lanyard/activation, readOnly: true}
        {{- end }}
      volumes:
      - name: identity
        projected:
          defaultMode: 416
          sources:
          - serviceAccountToken: {path: token, audience: lanyard.dev/connector, expirationSeconds: 3600}
      - name: server
        configMap:
          name: lanyard-connector
          items: [{key: ca.pem, path: ca.pem}]
      {{- if .activationSecret }}
      # Gone once it is used: the pods start without it then.
      - name: activation
        secret: {secretName: {{ .activationSecret | toJson }}, optional: true, defaultMode: 416}
      {{- end }}
{{- end -}}
