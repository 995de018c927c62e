#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Proves that a guest boots as far as user space.
echo "guest is up"
