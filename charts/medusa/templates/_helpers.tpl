{{/* Labels of every object. Call with (dict "root" $ "component" "backend"). */}}
{{- define "medusa.labels" -}}
{{ include "medusa.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
urumi.dev/owner: {{ .root.Values.store.owner | quote }}
{{- end }}

{{/* Labels of pods: nothing that changes when a merchant takes over a waiting store or the chart gets a new version, since that
would restart them. */}}
{{- define "medusa.podLabels" -}}
{{ include "medusa.selector" . }}
app.kubernetes.io/part-of: urumi
urumi.dev/store: {{ .root.Values.store.id | quote }}
{{- end }}

{{- define "medusa.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* What all pods share. Call with (dict "root" $ "uid" 1000). */}}
{{- define "medusa.pod" -}}
serviceAccountName: store
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 10
# A packet may be lost while policies are put in place or two questions race; the resolver would wait 5 s to ask again.
dnsConfig:
  options:
    - {name: timeout, value: "1"}
    - {name: attempts, value: "5"}
    - {name: single-request-reopen}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid }}
  runAsGroup: {{ .uid }}
  fsGroup: {{ .uid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* What all containers share. Call with (dict "root" $ "part" "backend"). */}}
{{- define "medusa.container" -}}
{{- $image := index .root.Values.images .part -}}
image: {{ printf "%s:%s" $image.repository $image.tag | quote }}
imagePullPolicy: {{ $image.pullPolicy }}
resources: {{- index .root.Values.resources .part | toYaml | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* A value of the store's Secret. Call with (dict "root" $ "key" "jwt-secret"). */}}
{{- define "medusa.secret" -}}
secretKeyRef: {name: {{ .root.Values.secretName }}, key: {{ .key }}}
{{- end }}

{{/* What checkov is answered about every object that has pods: annotations of the object and not of its pods, which would
restart when an answer changes. */}}
{{- define "medusa.answers" -}}
checkov.io/skip15: CKV_K8S_15=A node that has the image starts a store without asking a registry; images.*.pullPolicy can say otherwise.
checkov.io/skip40: CKV_K8S_40=These are the users of the images, to whom the files on the volumes belong.
checkov.io/skip43: CKV_K8S_43=Whoever builds or mirrors the images knows their digests; a tag in images.* may end in one.
{{- end }}
