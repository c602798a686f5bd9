# Gives Fast DDS the profile beside this file, unless a profile or transports are set already. For bash and zsh:
#
#     source $(ros2 pkg prefix binpose)/share/binpose/config/fastdds.sh
if [ -z "${FASTRTPS_DEFAULT_PROFILES_FILE:-}${FASTDDS_DEFAULT_PROFILES_FILE:-}${FASTDDS_BUILTIN_TRANSPORTS:-}" ]; then
    # Fast DDS 2 reads the first variable, Fast DDS 3 the second.
    FASTRTPS_DEFAULT_PROFILES_FILE=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)/fastdds.xml
    export FASTRTPS_DEFAULT_PROFILES_FILE
    export FASTDDS_DEFAULT_PROFILES_FILE="$FASTRTPS_DEFAULT_PROFILES_FILE"
fi
