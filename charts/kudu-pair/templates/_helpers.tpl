{{/* Name of everything that the chart makes: the release's, with the chart's in it. At most 50 characters, for suffixes. */}}
{{- define "kudu-pair.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The operator's image. Pairs' members run it too. */}}
{{- define "kudu-pair.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the controllers; a Deployment's selector cannot be changed later. */}}
{{- define "kudu-pair.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* Labels that select the node agents; a DaemonSet's selector cannot be changed later. */}}
{{- define "kudu-pair.nodeAgentSelectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: node-agent
{{- end -}}

{{/* Labels of everything that the chart makes for the controllers. */}}
{{- define "kudu-pair.labels" -}}
{{ include "kudu-pair.selectorLabels" . }}
{{ include "kudu-pair.commonLabels" . }}
{{- end -}}

{{/* Labels of everything that the chart makes for the node agents. */}}
{{- define "kudu-pair.nodeAgentLabels" -}}
{{ include "kudu-pair.nodeAgentSelectorLabels" . }}
{{ include "kudu-pair.commonLabels" . }}
{{- end -}}

{{- define "kudu-pair.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: kudu
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Metadata of one object: takes root, name, labels (name of a template), and namespace unless it has none. */}}
{{- define "kudu-pair.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include .labels .root | nindent 2 }}
{{- with .root.Values.extraAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Metadata of an object that a Prometheus or Grafana finds by its labels: takes root, name and those labels. */}}
{{- define "kudu-pair.monitoringMetadata" -}}
{{- $metadata := include "kudu-pair.metadata" (dict "root" .root "name" .name "namespace" .root.Release.Namespace "labels" "kudu-pair.labels") | fromYaml }}
{{- toYaml (set $metadata "labels" (merge (dict) .labels $metadata.labels)) }}
{{- end -}}

{{/* Metadata of a pod: takes root and labels (name of a template). */}}
{{- define "kudu-pair.podMetadata" -}}
labels:
  {{- include .labels .root | nindent 2 }}
{{- with .root.Values.extraAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Lets an account do something, in all namespaces or in each of watchNamespaces alone: takes root, name (of the roles and the
account), namespace (of the account), labels and rules (names of templates).
*/}}
{{- define "kudu-pair.access" -}}
{{- $access := . }}
{{- range .root.Values.watchNamespaces | default (list "") }}
{{- $scope := ternary "Role" "ClusterRole" (ne . "") }}
{{- $metadata := dict "root" $access.root "name" $access.name "namespace" . "labels" $access.labels }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $scope }}
metadata:
  {{- include "kudu-pair.metadata" $metadata | nindent 2 }}
rules:
  {{- include $access.rules $access.root | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $scope }}Binding
metadata:
  {{- include "kudu-pair.metadata" $metadata | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $scope }}
  name: {{ $access.name }}
subjects:
  - kind: ServiceAccount
    name: {{ $access.name }}
    namespace: {{ $access.namespace | quote }}
{{- end }}
{{- end -}}

{{/* PriorityClass of the chart's pods: takes root and own, the name that was asked for. Empty: none. */}}
{{- define "kudu-pair.priorityClassName" -}}
{{- .own | default (ternary (include "kudu-pair.fullname" .root) "" .root.Values.priorityClass.create) -}}
{{- end -}}

{{/* Namespace of the node agents. */}}
{{- define "kudu-pair.nodeAgentNamespace" -}}
{{- .Values.nodeAgent.namespace | default .Release.Namespace -}}
{{- end -}}

{{/* As tight as the `restricted` pod security standard, and a read-only root file system: for pods that only Helm starts. */}}
{{- define "kudu-pair.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
