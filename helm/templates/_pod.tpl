{{/* What the pod has, and what the settings may ask of it. */}}

{{/* resources.limits.memory in octets; none: there is no limit, or none that can be read. */}}
{{- define "gatepost.memory" -}}
{{- $limit := ((.Values.resources).limits).memory | default "" -}}
{{- $text := ternary (toString $limit) (int64 $limit | toString) (kindIs "string" $limit) -}}
{{- $number := regexFind "^[0-9]+([.][0-9]*)?" $text -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := trimPrefix $number $text -}}
{{- if and $number (hasKey $units $unit) -}}
{{- mulf (float64 $number) (get $units $unit) | int64 -}}
{{- end -}}
{{- end -}}

{{/* Connections for which the limit of memory is enough, whatever clients do who have not logged in: 64 KiB each, which is
what the gateway keeps to, and 100 MiB for everything else. At most the gateway's own default. */}}
{{- define "gatepost.connections" -}}
{{- with include "gatepost.memory" . -}}
{{- div (sub (int64 .) 104857600) 65536 | max 256 | min 20000 -}}
{{- end -}}
{{- end -}}

{{/* The listener or admin port below 1024, if there is one, as `KEY: port N`. */}}
{{- define "gatepost.lowPort" -}}
{{- $low := "" -}}
{{- range $i, $listener := include "gatepost.listeners" . | fromJsonArray -}}
{{- if and (not $low) (lt (int $listener.port) 1024) -}}{{- $low = printf "config.listeners[%d]: port %d" $i (int $listener.port) -}}{{- end -}}
{{- end -}}
{{- $admin := include "gatepost.adminPort" . | int -}}
{{- if and (not $low) (lt $admin 1024) -}}{{- $low = printf "config.admin.bind: port %d" $admin -}}{{- end -}}
{{- $low -}}
{{- end -}}

{{/* The gateway runs as nobody and without capabilities: the pod's own network is told that low ports are for everybody,
which the restricted profile allows. Sysctls of the user's stand; an empty list: there shall be none. */}}
{{- define "gatepost.podSecurityContext" -}}
{{- $context := deepCopy (default dict .Values.podSecurityContext) -}}
{{- $own := default list $context.sysctls -}}
{{- $name := "net.ipv4.ip_unprivileged_port_start" -}}
{{- $isTheirs := and (hasKey $context "sysctls") (not $own) -}}
{{- range $own -}}{{- if eq .name $name -}}{{- $isTheirs = true -}}{{- end -}}{{- end -}}
{{- $user := dict "pod" $context.runAsUser "own" (default dict .Values.securityContext).runAsUser -}}
{{- $isRoot := eq (toString (ternary $user.pod $user.own (kindIs "invalid" $user.own))) "0" -}}
{{- $low := include "gatepost.lowPort" . -}}
{{- if and $low (not $isTheirs) -}}
{{- if not .Values.extraPodSpec.hostNetwork -}}
{{- $_ := set $context "sysctls" (append $own (dict "name" $name "value" "0")) -}}
{{- else if not $isRoot -}}
{{- fail (printf "%s is for root alone in the node's network (extraPodSpec.hostNetwork), where no pod may change that: take one above 1023, like 1993; if the node itself lets everybody have it, set podSecurityContext.sysctls: []" $low) -}}
{{- end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}
