{{- define "lanyard.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: lanyard
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "lanyard.image" -}}
{{ printf "%s/lanyard:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}

{{- /* What no container of ours needs. */ -}}
{{- define "lanyard.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* OnRootMismatch: a volume that has been mounted before keeps the modes that the server insists on. */ -}}
{{- define "lanyard.user" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}
