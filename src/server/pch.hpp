// Headers that nearly every part of the server needs; built once for server/.
#pragma once
#include "base/pch.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/server.hpp"
