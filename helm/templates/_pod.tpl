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

{{/* Why the gateway could not write this path, if that is certain; argument: dict "root", "path", "whole": beside it too. */}}
{{- define "gatepost.unwritable" -}}
{{- $path := clean (ternary .path (printf "/etc/gatepost/config/%s" .path) (hasPrefix "/" .path)) -}}
{{- $mount := dict -}}
{{- $at := "" -}}
{{- range .root.Values.extraVolumeMounts -}}
{{- $place := clean .mountPath -}}
{{- $isIn := or (hasPrefix (printf "%s/" (trimSuffix "/" $place)) $path) (and (not $.whole) (eq $path $place)) -}}
{{- if and $isIn (ge (len $place) (len $at)) -}}{{- $mount = . -}}{{- $at = $place -}}{{- end -}}
{{- end -}}
{{- if $mount.readOnly -}}
{{- printf "extraVolumeMounts has %s readOnly" $at -}}
{{- else if and (not $at) (eq (toString .root.Values.securityContext.readOnlyRootFilesystem) "true") (not (regexMatch "^/(dev|proc)/" $path)) -}}
{{- printf "%s is in the container's root, which is read-only; name a place below one of extraVolumeMounts" $path -}}
{{- end -}}
{{- end -}}

{{/* The path of a state that is kept in a file; none: it is elsewhere, or not known. */}}
{{- define "gatepost.stateFile" -}}
{{- $state := (.Values.config).state -}}
{{- $url := ternary (get (ternary $state dict (kindIs "map" $state)) "url") $state (kindIs "map" $state) | default "" | toString -}}
{{- if and (hasPrefix "file://" $url) (not .Values.redis.existingSecret) -}}{{- trimPrefix "file://" $url -}}{{- end -}}
{{- end -}}

{{/* Files that the settings have the gateway write. */}}
{{- define "gatepost.validate.files" -}}
{{- $output := ((.Values.config).log).output | default "" | toString -}}
{{- $known := ternary "" $output (contains "${" $output) -}}
{{- if eq $known "syslog" -}}
{{- $isThere := false -}}
{{- range .Values.extraVolumeMounts -}}{{- if has (clean .mountPath) (list "/dev/log" "/dev") -}}{{- $isThere = true -}}{{- end -}}{{- end -}}
{{- if not $isThere -}}
{{- fail "config.log.output: there is no syslog in a pod (/dev/log); leave it out: the cluster collects what goes to stderr" -}}
{{- end -}}
{{- else if or (has $known (list "-")) (has (lower $known) (list "stdout" "syslog")) (and (ne $known "stderr") (eq (lower $known) "stderr")) -}}
{{- fail (printf "config.log.output: %q is none of the choices; expected stderr or a path" $known) -}}
{{- else if not (has $known (list "" "stderr")) -}}
{{- with include "gatepost.unwritable" (dict "root" . "path" $known "whole" false) -}}
{{- fail (printf "config.log.output: no file can be written there: %s" .) -}}
{{- end -}}
{{- end -}}
{{- $state := include "gatepost.stateFile" . -}}
{{- if $state -}}
{{- if and (eq .Values.kind "Deployment") (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}
{{- fail (printf "config.state: a file is for one gateway, and %s; keep the state in a Redis (redis.existingSecret), or have replicas: 1" (ternary "autoscaling makes several" (printf "there are %d" (int .Values.replicas)) .Values.autoscaling.enabled)) -}}
{{- end -}}
{{- if not (contains "${" $state) -}}
{{- with include "gatepost.unwritable" (dict "root" . "path" $state "whole" true) -}}
{{- fail (printf "config.state: no file can be kept there: %s" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A grace of the user's is enough for the drain, as far as that can be computed. */}}
{{- define "gatepost.validate.grace" -}}
{{- $grace := int .root.Values.terminationGracePeriodSeconds -}}
{{- $delay := .config.timeouts.drain_delay | toString -}}
{{- $drain := default "30s" .config.timeouts.drain | toString -}}
{{- if and $grace (not (contains "${" (cat $delay $drain))) -}}
{{- $need := 0 -}}
{{- range $key, $text := dict "drain_delay" $delay "drain" $drain -}}
{{- $need = include "gatepost.seconds" (dict "text" $text "key" (printf "config.timeouts.%s" $key)) | atoi | add $need -}}
{{- end -}}
{{- if lt $grace (int $need) -}}
{{- fail (printf "terminationGracePeriodSeconds: after %d s the pod is killed, and sessions get their goodbye within timeouts.drain_delay (%s) and timeouts.drain (%s): give %d s, leave it out, or drain faster" $grace $delay $drain (add $need 5)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How a Deployment is updated. A file of the state has one owner: the new one comes when the old one is gone. A node that
can have one pod alone has no place for the new one beside the old one. */}}
{{- define "gatepost.strategy" -}}
{{- $strategy := dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 1 "maxUnavailable" 0) -}}
{{- $isAlone := and (eq .Values.podAntiAffinity "hard") (not .Values.affinity) -}}
{{- if or .Values.hostPorts.enabled .Values.extraPodSpec.hostNetwork $isAlone -}}
{{- $strategy = dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 0 "maxUnavailable" 1) -}}
{{- end -}}
{{- if include "gatepost.stateFile" . -}}{{- $strategy = dict "type" "Recreate" -}}{{- end -}}
{{- toYaml (default $strategy .Values.updateStrategy) -}}
{{- end -}}
